package errcodes

import "time"

// Runbase returns the error vocabulary of Runbase, as its error page documents it:
// {"error":{"message","code"}} with no type. Two of its codes are upper case. Work on
// Runbase is a run that is charged, so where the page is silent on retries, errors that
// can come after a run has begun are marked MaybeExecuted.
// The registry is built once and shared.
func Runbase() *Registry { return runbase() }

const (
	srcRunbase      = "Runbase, error codes, 2026-11-21"
	srcRunbaseRetry = srcRunbase + "; retry rule: errwire"
	srcRunbaseWait  = srcRunbase + "; default of retry-after: errwire"
)

var runbase = builtin("runbase", RunbaseDialect{}, []Entry{
	{
		Code: InvalidJSON, Status: 400, Class: ClassInvalidRequest,
		Message: "The request body is not valid JSON.",
		Cause:   "The body is not valid JSON.",
		Fix:     "Check the syntax at the position that the message names.",
		Source:  srcRunbase,
	},
	{
		Code: MissingModel, Status: 400, Class: ClassInvalidRequest, Param: "model",
		Message: "The model field is missing or not a string.",
		Cause:   "The model field is absent or not a string.",
		Fix:     `Add "model": "provider/name" to the body.`,
		Source:  srcRunbase,
	},
	{
		Code: MissingInput, Status: 400, Class: ClassInvalidRequest, Param: "input",
		Message: "The input field is missing or not an object.",
		Cause:   "The input field is absent or not an object.",
		Fix:     `Add "input": {...} to the body.`,
		Source:  srcRunbase,
	},
	{
		Code: InvalidInput, Status: 400, Class: ClassInvalidRequest,
		Message: "The input does not match the schema of the model.",
		Cause:   "The input does not match the schema of the model.",
		Fix:     "Compare the input with the model's reference: its required fields and their values.",
		Source:  srcRunbase,
	},
	{
		Code: ModelNotFound, Status: 400, Class: ClassNotFound,
		Message: "There is no such model.",
		Cause:   "No available model has this id.",
		Fix:     "Take the id from the models page.",
		Source:  srcRunbase,
	},
	{
		Code: MissingAPIKey, Status: 401, Class: ClassAuthentication,
		Message: "No API key was given. Send it in the Authorization header as a Bearer token.",
		Cause:   "There is no Authorization header, or it has another form.",
		Fix:     "Send the header Authorization: Bearer sk-...",
		Source:  srcRunbase,
	},
	{
		Code: InvalidAPIKey, Status: 401, Class: ClassAuthentication,
		Message: "The API key is not valid.",
		Cause:   "The key is not valid, disabled or expired.",
		Fix:     "Make a new key in the settings, or enable this one again.",
		Source:  srcRunbase,
	},
	{
		Code: InsufficientBalance, Status: 402, Class: ClassBilling,
		Message: "The balance of the account is too low for this run.",
		Cause:   "The balance does not cover the run.",
		Fix:     "Top up the balance in the settings.",
		Source:  srcRunbase,
	},
	{
		Code: APIKeySpendLimitExceeded, Status: 403, Class: ClassBilling,
		Message: "The lifetime spend limit of this API key has been reached.",
		Cause:   "The key has reached its lifetime spend limit.",
		Fix:     "Raise the limit of the key in the settings.",
		Source:  srcRunbase,
	},
	{
		Code: IPNotAllowed, Status: 403, Class: ClassPermission,
		Message: "This API key may not be used from this IP address.",
		Cause:   "The address is not on the list of the key.",
		Fix:     "Add the address to the list, or remove the list.",
		Source:  srcRunbase,
	},
	{
		Code: RunNotFound, Status: 404, Class: ClassNotFound,
		Message: "There is no run with this id for this account.",
		Cause:   "The account has no run with this id.",
		Fix:     "Check the id, and that the run was made with this key.",
		Source:  srcRunbase,
	},
	{
		Code: RateLimited, Wire: "RATE_LIMITED", Status: 429, Class: ClassRateLimited, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "Too many requests in a short time. Wait as the Retry-After header says and try again.",
		Cause:      "Too many requests in a short window.",
		Fix:        "Wait 1 s, then 2 s, then 4 s before trying again; where Retry-After is sent, at least as long as it says.",
		Source:     srcRunbaseWait,
	},
	{
		Code: UsageExceeded, Wire: "USAGE_EXCEEDED", Status: 429, Class: ClassQuotaExhausted,
		Message: "The usage quota of this API key is exhausted.",
		Cause:   "The usage quota of the key is used up.",
		Fix:     "Contact support or make a new key; waiting does not help.",
		Source:  srcRunbase,
	},
	{
		Code: Internal, Wire: NoCode, Status: 500, Class: ClassServerError, Retry: RetryOnce, MaybeExecuted: true,
		Message: "The server failed unexpectedly.",
		Cause:   "An unexpected failure on the side of the provider; the run may have begun.",
		Fix:     "Look whether the run exists before sending it again; if it persists, contact support.",
		Source:  srcRunbaseRetry,
	},
	{
		Code: BadGateway, Status: 502, Class: ClassServerError, Retry: RetryBackoff, MaybeExecuted: true,
		Message: "A server behind this one gave no usable answer.",
		Cause:   "The server behind this one is down or answers nonsense; the run may have begun.",
		Fix:     "Look whether the run exists before sending it again.",
		Source:  SourceErrwire,
	},
	{
		Code: Timeout, Status: 504, Class: ClassTimeout, Retry: RetryBackoff, MaybeExecuted: true,
		Message: "The request took longer than the server allows.",
		Cause:   "The work did not finish in time; the run may have begun.",
		Fix:     "Look whether the run exists before sending it again.",
		Source:  SourceErrwire,
	},
}...)

// RunbaseDialect spells errors as Runbase does: {"error":{"message","code"}}.
// The zero value is ready to use.
type RunbaseDialect struct{}

var _ Dialect = RunbaseDialect{}

// Slots returns SlotCode.
func (RunbaseDialect) Slots() Slot { return SlotCode }

// ContentType returns "application/json".
func (RunbaseDialect) ContentType() string { return contentTypeJSON }

// Append appends message and code; see [Dialect].
func (d RunbaseDialect) Append(dst []byte, b Body) []byte {
	return appendErrorObject(dst, &b, d.Slots())
}

// Decode reads message and code; see [Dialect].
func (d RunbaseDialect) Decode(data []byte) (Body, error) { return decodeErrorObject(data, d.Slots()) }

package errcodes

import "time"

// Anthropic returns the error vocabulary of the Anthropic API:
// {"type":"error","error":{"type","message"},"request_id"}. Its errors have a type and no code. The one place
// where its SDKs look for more is error.details.error_code, so the rows of this library that share status and
// type with a row that disagrees, such as a spent quota beside a rate limit, carry their code there.
// The registry is built once and shared.
func Anthropic() *Registry { return anthropic() }

const (
	srcAnthropic      = "Anthropic, API errors, 2026-11-21"
	srcAnthropicRetry = srcAnthropic + "; retry rule: errwire"
	srcAnthropicWait  = srcAnthropic + "; retry rule and retry-after: errwire"
)

var anthropic = builtin("anthropic", AnthropicDialect{}, []Entry{
	{
		Code: InvalidRequest, Wire: NoCode, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request is not valid.",
		Cause:   "The format or the content of the request is wrong. A balance that is too low may be reported like this too.",
		Fix:     "Correct what the message names.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: InvalidJSON, Wire: NoCode, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request body is not valid JSON.",
		Cause:   "The body is not a JSON object.",
		Fix:     "Check the syntax at the position that the message names.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingModel, Wire: NoCode, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The model field is missing or not a string.",
		Cause:   "A required field is absent: model.",
		Fix:     "Name the model in the body.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingInput, Wire: NoCode, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "A required field is missing or of the wrong kind.",
		Cause:   "A required field is absent, such as messages or max_tokens.",
		Fix:     "Add the field that the message names.",
		Source:  SourceErrwire,
	},
	{
		Code: InvalidInput, Wire: NoCode, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "A field has a value that is not accepted.",
		Cause:   "The value of a field is not accepted.",
		Fix:     "Correct the field that the message names.",
		Source:  SourceErrwire,
	},
	{
		Code: InvalidAPIKey, Wire: NoCode, Status: 401, Type: "authentication_error", Class: ClassAuthentication,
		Message: "The API key is not valid.",
		Cause:   "There is something wrong with the key.",
		Fix:     "Check the key, or make a new one.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: MissingAPIKey, Wire: NoCode, Status: 401, Type: "authentication_error", Class: ClassAuthentication,
		Message: "No API key was given. Send it in the X-Api-Key header or as a Bearer token.",
		Cause:   "The request has no key.",
		Fix:     "Send the key in the X-Api-Key header.",
		Source:  SourceErrwire,
	},
	{
		Code: InsufficientBalance, Wire: NoCode, Status: 402, Type: "billing_error", Class: ClassBilling,
		Message: "There is a problem with the billing or the credit balance of the account.",
		Cause:   "The payment details or the balance do not allow the request.",
		Fix:     "Check the billing settings.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: PermissionDenied, Wire: NoCode, Status: 403, Type: "permission_error", Class: ClassPermission,
		Message: "This API key may not use this resource.",
		Cause:   "The key lacks the permission for the resource.",
		Fix:     "Use a key with the permission.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: IPNotAllowed, Wire: NoCode, Status: 403, Type: "permission_error", Class: ClassPermission,
		Message: "This API key may not be used from this IP address.",
		Cause:   "The address of the caller is not on the list of the key.",
		Fix:     "Add the address to the list of the key.",
		Source:  SourceErrwire,
	},
	{
		Code: APIKeySpendLimitExceeded, Status: 403, Type: "permission_error", Class: ClassBilling,
		Message: "The spend limit of this API key has been reached.",
		Cause:   "The key has spent all that it was allowed to.",
		Fix:     "Raise the spend limit of the key.",
		Source:  SourceErrwire,
	},
	{
		Code: NotFound, Wire: NoCode, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is nothing at this path.",
		Cause:   "The resource does not exist.",
		Fix:     "Check the path and the ids in it.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: ModelNotFound, Wire: NoCode, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is no such model.",
		Cause:   "The model does not exist.",
		Fix:     "Take a model from the list of models.",
		Source:  SourceErrwire,
	},
	{
		Code: RunNotFound, Wire: NoCode, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is no such run for this account.",
		Cause:   "No run of the account has this id.",
		Fix:     "Check the id, and the key that the run was made with.",
		Source:  SourceErrwire,
	},
	{
		Code: MethodNotAllowed, Wire: NoCode, Status: 405, Type: "invalid_request_error", Class: ClassUnsupported,
		Message: "This path does not serve this method.",
		Cause:   "The route exists for other methods only.",
		Fix:     "Use a method that the Allow header lists.",
		Source:  SourceErrwire,
	},
	{
		Code: RequestTimeout, Wire: NoCode, Status: 408, Type: "timeout_error", Class: ClassTimeout, Retry: RetryBackoff,
		Message: "The request took too long to arrive.",
		Cause:   "The body was sent more slowly than the server waits.",
		Fix:     "Send it again, over a faster connection or in smaller parts.",
		Source:  SourceErrwire,
	},
	{
		Code: Conflict, Wire: NoCode, Status: 409, Type: "invalid_request_error", Class: ClassConflict,
		Message: "The request conflicts with the present state.",
		Cause:   "Something else changed what the request is about.",
		Fix:     "Read the present state and decide again.",
		Source:  SourceErrwire,
	},
	{
		Code: BodyTooLarge, Wire: NoCode, Status: 413, Type: "request_too_large", Class: ClassTooLarge,
		Message: "The request is larger than the endpoint accepts.",
		Cause:   "The body exceeds the maximum number of bytes.",
		Fix:     "Send less in one request.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: UnsupportedMediaType, Wire: NoCode, Status: 415, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request body must be JSON, declared with Content-Type: application/json.",
		Cause:   "The Content-Type is missing or not JSON in UTF-8.",
		Fix:     "Send the header Content-Type: application/json.",
		Source:  SourceErrwire,
	},
	{
		Code: RateLimited, Wire: NoCode, Status: 429, Type: "rate_limit_error", Class: ClassRateLimited,
		Retry: RetryBackoff, RetryAfter: time.Second,
		Message: "The rate limit is reached. Wait as the Retry-After header says and try again.",
		Cause:   "Requests or tokens come faster than the limit of the account allows.",
		Fix:     "Wait as Retry-After says and send more slowly.",
		Source:  srcAnthropicWait,
	},
	{
		Code: UsageExceeded, Status: 429, Type: "rate_limit_error", Class: ClassQuotaExhausted,
		Message: "The usage quota of this API key is exhausted.",
		Cause:   "The allowance of the key is spent.",
		Fix:     "Have the quota raised, or use another key; waiting does not help.",
		Source:  SourceErrwire,
	},
	{
		Code: Internal, Wire: NoCode, Status: 500, Type: "api_error", Class: ClassServerError, Retry: RetryOnce,
		Message: "The server failed unexpectedly.",
		Cause:   "An unexpected failure inside the provider's systems.",
		Fix:     "Try once more after a pause; if it fails again, report the request id.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: BadGateway, Wire: NoCode, Status: 502, Type: "api_error", Class: ClassServerError, Retry: RetryBackoff,
		Message: "A server behind this one gave no usable answer.",
		Cause:   "The server behind this one is down or answers nonsense.",
		Fix:     "Try again a little later.",
		Source:  SourceErrwire,
	},
	{
		Code: Timeout, Wire: NoCode, Status: 504, Type: "timeout_error", Class: ClassTimeout, Retry: RetryBackoff,
		Message: "The request took longer than the server allows. Use streaming for long answers.",
		Cause:   "The work did not finish in time.",
		Fix:     "Use streaming for long answers, or try again later.",
		Source:  srcAnthropicRetry,
	},
	{
		Code: Overloaded, Wire: NoCode, Status: 529, Type: "overloaded_error", Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The service is overloaded. Try again after the time in the Retry-After header.",
		Cause:      "All users together send more than the service can take.",
		Fix:        "Wait and try again, more slowly each time.",
		Source:     srcAnthropicWait,
	},
	{
		Code: Unavailable, Wire: NoCode, Status: 503, Type: "overloaded_error", Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The service is not available just now. Try again after the time in the Retry-After header.",
		Cause:      "The service is starting, stopped or at capacity.",
		Fix:        "Wait as Retry-After says and try again.",
		Source:     SourceErrwire,
	},
}...)

// AnthropicDialect spells errors as Anthropic does: {"type":"error","error":{"type","message"},"request_id"},
// with a code, where a row has one, as error.details.error_code.
// The zero value is ready to use.
type AnthropicDialect struct{}

var _ Dialect = AnthropicDialect{}

// Slots returns SlotType, SlotCode and SlotRequestID.
func (AnthropicDialect) Slots() Slot { return SlotType | SlotCode | SlotRequestID }

// ContentType returns "application/json".
func (AnthropicDialect) ContentType() string { return contentTypeJSON }

// Append appends type, message, code and request id; see [Dialect].
func (AnthropicDialect) Append(dst []byte, b Body) []byte {
	dst = append(dst, `{"type":"error","error":{`...)
	dst = appendMember(dst, `,"type":"`, b.Type)
	dst = appendMessage(dst, `,"message":"`, b.Message)
	if b.Code != "" {
		dst = append(appendName(dst, "details"), '{')
		dst = append(appendMember(dst, `,"error_code":"`, b.Code), '}')
	}
	dst = append(dst, '}')
	dst = appendMember(dst, `,"request_id":"`, b.RequestID)
	return append(dst, '}')
}

// Decode reads type, message, code and request id; see [Dialect].
func (AnthropicDialect) Decode(data []byte) (Body, error) {
	var outer [2]string
	if _, err := open(data, []string{"error", "request_id"}, outer[:]); err != nil {
		return Body{}, err
	}
	var in [3]string
	if !pick(outer[0], []string{"type", "message", "details"}, in[:]) {
		return Body{}, ErrNotError
	}
	var details [1]string
	pick(in[2], []string{"error_code"}, details[:])
	n := len(data)
	return Body{
		Type: text(in[0], n), Message: text(in[1], n),
		Code: text(details[0], n), RequestID: text(outer[1], n),
	}, nil
}

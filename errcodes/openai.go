package errcodes

import "time"

// OpenAI returns the error vocabulary of the OpenAI API:
// {"error":{"message","type","param","code"}}, unset members left out rather than null, because a
// popular Go client reads a null code as the number 0.
// The registry is built once and shared.
func OpenAI() *Registry { return openAI() }

const (
	srcOpenAI      = "OpenAI, error codes, 2026-11-21"
	srcOpenAIRetry = srcOpenAI + "; retry rule: errwire"
	srcOpenAIWait  = srcOpenAI + "; retry rule and retry-after: errwire"
)

var openAI = builtin("openai", OpenAIDialect{}, []Entry{
	{
		Code: InvalidRequest, Wire: NoCode, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request is not valid.",
		Cause:   "The request is malformed in a way that has no code of its own.",
		Fix:     "Correct what the message names.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: MissingModel, Wire: "missing_required_parameter", Status: 400, Type: "invalid_request_error",
		Class: ClassInvalidRequest, Param: "model",
		Message: "The model parameter is missing or not a string.",
		Cause:   "A required parameter is absent: model.",
		Fix:     "Name the model in the body.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: MissingInput, Wire: "missing_required_parameter", Status: 400, Type: "invalid_request_error",
		Class:   ClassInvalidRequest,
		Message: "A required parameter is missing or of the wrong kind.",
		Cause:   "A required parameter is absent: the input, or the messages of a chat.",
		Fix:     "Add the parameter that the error names.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: MissingRequiredParameter, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "A required parameter is missing.",
		Cause:   "A required parameter is absent.",
		Fix:     "Add the parameter that the error names.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: InvalidInput, Wire: "invalid_value", Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "A parameter has a value that is not accepted.",
		Cause:   "The value of a parameter is not one of those accepted.",
		Fix:     "Correct the parameter that the error names.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: UnsupportedValue, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The model does not support this value of a parameter.",
		Cause:   "The value is valid in general but not for this model.",
		Fix:     "Change the parameter that the error names, or the model.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: ContextLengthExceeded, Status: 400, Type: "invalid_request_error", Class: ClassContextLength, Param: "messages",
		Message: "The messages are longer than the context of the model.",
		Cause:   "The prompt and the tokens asked for exceed the model's context.",
		Fix:     "Shorten the messages, lower the number of tokens, or take a model with a longer context.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: InvalidAPIKey, Status: 401, Type: "invalid_request_error", Class: ClassAuthentication,
		Message: "The API key is not valid.",
		Cause:   "The key is wrong, revoked or of another organization.",
		Fix:     "Check the key, or make a new one.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: MissingAPIKey, Status: 401, Type: "invalid_request_error", Class: ClassAuthentication,
		Message: "No API key was given. Send it in the Authorization header as a Bearer token.",
		Cause:   "The request has no Authorization header, or one of another form.",
		Fix:     "Send the header Authorization: Bearer followed by the key.",
		Source:  SourceErrwire,
	},
	{
		Code: UnsupportedCountry, Status: 403, Type: "invalid_request_error", Class: ClassPermission,
		Message: "This country, region or territory is not supported.",
		Cause:   "The request comes from a place that is not served.",
		Fix:     "Send requests from a supported place only.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: ModelNotFound, Status: 404, Type: "invalid_request_error", Class: ClassNotFound, Param: "model",
		Message: "The model does not exist, or you do not have access to it.",
		Cause:   "The model does not exist or is closed to the caller.",
		Fix:     "Take a model from the list of models.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: RateLimited, Wire: "rate_limit_exceeded", Status: 429, Type: "rate_limit_error", Class: ClassRateLimited,
		Retry: RetryBackoff, RetryAfter: time.Second,
		Message: "The rate limit is reached. Wait as the Retry-After header says and try again.",
		Cause:   "Requests or tokens come faster than the limit allows.",
		Fix:     "Wait as Retry-After says and send more slowly.",
		Source:  srcOpenAIWait,
	},
	{
		Code: UsageExceeded, Wire: "insufficient_quota", Status: 429, Type: "insufficient_quota", Class: ClassQuotaExhausted,
		Message: "The usage quota is exhausted. Check the plan and the billing details.",
		Cause:   "The credits or the monthly allowance are spent.",
		Fix:     "Buy credits or raise the limit; waiting does not help.",
		Source:  srcOpenAI,
	},
	{
		Code: CreditBalanceExhausted, Status: 429, Type: "insufficient_quota", Class: ClassBilling,
		Message: "The credit balance is exhausted.",
		Cause:   "The prepaid credits are spent.",
		Fix:     "Buy credits.",
		Source:  srcOpenAI,
	},
	{
		Code: OrganizationSpendLimitExceeded, Status: 429, Type: "insufficient_quota", Class: ClassBilling,
		Message: "The spend limit of the organization is reached; its usage quota is exhausted.",
		Cause:   "The organization has spent all that it allowed itself.",
		Fix:     "Raise the spend limit of the organization.",
		Source:  srcOpenAI,
	},
	{
		Code: ProjectSpendLimitExceeded, Status: 429, Type: "insufficient_quota", Class: ClassBilling,
		Message: "The spend limit of the project is reached; its usage quota is exhausted.",
		Cause:   "The project has spent all that it was allowed.",
		Fix:     "Raise the spend limit of the project.",
		Source:  srcOpenAI,
	},
	{
		Code: OrganizationUsageLimitExceeded, Status: 429, Type: "insufficient_quota", Class: ClassQuotaExhausted,
		Message: "The usage limit of the organization is reached; its usage quota is exhausted.",
		Cause:   "The organization has used all that its tier allows.",
		Fix:     "Have the usage limit raised.",
		Source:  srcOpenAI,
	},
	{
		Code: Internal, Wire: NoCode, Status: 500, Type: "server_error", Class: ClassServerError, Retry: RetryOnce,
		Message: "The server failed unexpectedly.",
		Cause:   "A failure on the side of the server.",
		Fix:     "Try once more after a pause; if it fails again, report the request id.",
		Source:  srcOpenAIRetry,
	},
	{
		Code: Unavailable, Wire: "server_is_overloaded", Status: 503, Type: "service_unavailable_error",
		Class: ClassOverloaded, Retry: RetryBackoff, RetryAfter: time.Second,
		Message: "The server is overloaded. Try again after the time in the Retry-After header.",
		Cause:   "The service has more traffic than capacity.",
		Fix:     "Wait as Retry-After says and try again.",
		Source:  srcOpenAIWait,
	},
	{
		Code: Timeout, Status: 504, Type: "server_error", Class: ClassTimeout, Retry: RetryBackoff,
		Message: "The request took longer than the server allows.",
		Cause:   "The work did not finish in time.",
		Fix:     "Ask for less in one request, use streaming, or try again later.",
		Source:  SourceErrwire,
	},
}...)

// OpenAIDialect spells errors as OpenAI does: {"error":{"message","type","param","code"}}.
// The zero value is ready to use.
type OpenAIDialect struct{}

var _ Dialect = OpenAIDialect{}

// Slots returns SlotType, SlotParam and SlotCode.
func (OpenAIDialect) Slots() Slot { return SlotType | SlotParam | SlotCode }

// ContentType returns "application/json".
func (OpenAIDialect) ContentType() string { return contentTypeJSON }

// Append appends message, type, param and code; see [Dialect].
func (d OpenAIDialect) Append(dst []byte, b Body) []byte {
	return appendErrorObject(dst, &b, d.Slots())
}

// Decode reads message, type, param and code; see [Dialect].
func (d OpenAIDialect) Decode(data []byte) (Body, error) { return decodeErrorObject(data, d.Slots()) }

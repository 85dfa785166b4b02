package errcodes

import "time"

// generalCode returns the condition that stands for a status when the body says nothing,
// "" for a status that the generic rows do not have.
func generalCode(status int) Code {
	switch status {
	case 400:
		return InvalidRequest
	case 401:
		return InvalidAPIKey
	case 402:
		return InsufficientBalance
	case 403:
		return PermissionDenied
	case 404:
		return NotFound
	case 405:
		return MethodNotAllowed
	case 408:
		return RequestTimeout
	case 409:
		return Conflict
	case 413:
		return BodyTooLarge
	case 415:
		return UnsupportedMediaType
	case 429:
		return RateLimited
	case 499:
		return ClientClosed
	case 500:
		return Internal
	case 502:
		return BadGateway
	case 503:
		return Unavailable
	case 504:
		return Timeout
	case 529:
		return Overloaded
	}
	return ""
}

func genericRow(c Code) Entry {
	for _, e := range genericRows {
		if e.Code == c {
			return e
		}
	}
	return Entry{}
}

// genericRows is what every registry has unless its provider says otherwise. Statuses follow RFC 9110
// section 15 and RFC 6585 section 4; 499 and 529 are conventions of nginx and of Anthropic.
var genericRows = []Entry{
	{
		Code: InvalidRequest, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request is not valid.",
		Cause:   "The request breaks a rule that has no code of its own.",
		Fix:     "Read the message, correct the request and send it again.",
		Source:  SourceErrwire,
	},
	{
		Code: InvalidJSON, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request body is not valid JSON.",
		Cause:   "The body is not one JSON object in valid UTF-8.",
		Fix:     "Check the syntax at the position that the message names.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingModel, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest, Param: "model",
		Message: "The model field is missing or not a string.",
		Cause:   "The body has no model, or one that is not a string.",
		Fix:     "Name the model in the body.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingInput, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The input field is missing or not an object.",
		Cause:   "The body lacks the input that the endpoint requires.",
		Fix:     "Add the input to the body.",
		Source:  SourceErrwire,
	},
	{
		Code: InvalidInput, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The input does not match what the model accepts.",
		Cause:   "A field has a value that the model or the endpoint does not accept.",
		Fix:     "Correct the field that the error names.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingAPIKey, Status: 401, Type: "authentication_error", Class: ClassAuthentication,
		Message: "No API key was given. Send it in the Authorization header as a Bearer token.",
		Cause:   "The request has no Authorization header, or one of another form.",
		Fix:     "Send the header Authorization: Bearer followed by the key.",
		Source:  SourceErrwire,
	},
	{
		Code: InvalidAPIKey, Status: 401, Type: "authentication_error", Class: ClassAuthentication,
		Message: "The API key is not valid.",
		Cause:   "The key is unknown, disabled or expired.",
		Fix:     "Use another key, or have this one enabled again.",
		Source:  SourceErrwire,
	},
	{
		Code: InsufficientBalance, Status: 402, Type: "billing_error", Class: ClassBilling,
		Message: "The balance of the account is too low for this request.",
		Cause:   "The account cannot pay for the request.",
		Fix:     "Add funds to the account.",
		Source:  SourceErrwire,
	},
	{
		Code: PermissionDenied, Status: 403, Type: "permission_error", Class: ClassPermission,
		Message: "This API key may not do this.",
		Cause:   "The key is valid and lacks the permission.",
		Fix:     "Use a key that has the permission.",
		Source:  SourceErrwire,
	},
	{
		Code: IPNotAllowed, Status: 403, Type: "permission_error", Class: ClassPermission,
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
		Code: NotFound, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is nothing at this path.",
		Cause:   "No route serves the path.",
		Fix:     "Check the path against the API reference.",
		Source:  SourceErrwire,
	},
	{
		Code: ModelNotFound, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is no such model.",
		Cause:   "The model does not exist or is closed to the caller.",
		Fix:     "Choose a model from the list of models.",
		Source:  SourceErrwire,
	},
	{
		Code: RunNotFound, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is no such run for this account.",
		Cause:   "No run of the account has this id.",
		Fix:     "Check the id, and the key that the run was made with.",
		Source:  SourceErrwire,
	},
	{
		Code: MethodNotAllowed, Status: 405, Type: "invalid_request_error", Class: ClassUnsupported,
		Message: "This path does not serve this method.",
		Cause:   "The route exists for other methods only.",
		Fix:     "Use a method that the Allow header lists.",
		Source:  SourceErrwire,
	},
	{
		Code: RequestTimeout, Status: 408, Type: "timeout_error", Class: ClassTimeout, Retry: RetryBackoff,
		Message: "The request took too long to arrive.",
		Cause:   "The body was sent more slowly than the server waits.",
		Fix:     "Send it again, over a faster connection or in smaller parts.",
		Source:  SourceErrwire,
	},
	{
		Code: Conflict, Status: 409, Type: "conflict_error", Class: ClassConflict,
		Message: "The request conflicts with the present state.",
		Cause:   "Something else changed what the request is about.",
		Fix:     "Read the present state and decide again.",
		Source:  SourceErrwire,
	},
	{
		Code: BodyTooLarge, Status: 413, Type: "invalid_request_error", Class: ClassTooLarge,
		Message: "The request body is too large.",
		Cause:   "The body is longer than the endpoint accepts.",
		Fix:     "Send less in one request.",
		Source:  SourceErrwire,
	},
	{
		Code: UnsupportedMediaType, Status: 415, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request body must be JSON, declared with Content-Type: application/json.",
		Cause:   "The Content-Type is missing or not JSON in UTF-8.",
		Fix:     "Send the header Content-Type: application/json.",
		Source:  SourceErrwire,
	},
	{
		Code: RateLimited, Status: 429, Type: "rate_limit_error", Class: ClassRateLimited, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "Too many requests in a short time. Wait as the Retry-After header says and try again.",
		Cause:      "The caller sends faster than the limit allows.",
		Fix:        "Wait as Retry-After says, then send more slowly.",
		Source:     SourceErrwire,
	},
	{
		Code: UsageExceeded, Status: 429, Type: "insufficient_quota", Class: ClassQuotaExhausted,
		Message: "The usage quota of this API key is exhausted.",
		Cause:   "The allowance of the key is spent.",
		Fix:     "Have the quota raised, or use another key.",
		Source:  SourceErrwire,
	},
	{
		Code: ClientClosed, Status: 499, Class: ClassCanceled,
		Message: "The caller closed the connection before the answer.",
		Cause:   "The caller left or ran into a deadline of its own.",
		Fix:     "Nothing on the server; give the call more time.",
		Source:  SourceErrwire,
	},
	{
		Code: Internal, Status: 500, Type: "server_error", Class: ClassServerError, Retry: RetryOnce,
		Message: "The server failed unexpectedly.",
		Cause:   "An unexpected failure of the server.",
		Fix:     "Try once more; if it happens again, report the request id.",
		Source:  SourceErrwire,
	},
	{
		Code: BadGateway, Status: 502, Type: "server_error", Class: ClassServerError, Retry: RetryBackoff,
		Message: "A server behind this one gave no usable answer.",
		Cause:   "The server behind this one is down or answers nonsense.",
		Fix:     "Try again a little later.",
		Source:  SourceErrwire,
	},
	{
		Code: Unavailable, Status: 503, Type: "service_unavailable_error", Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The service is not available just now. Try again after the time in the Retry-After header.",
		Cause:      "The service is starting, stopped or at capacity.",
		Fix:        "Wait as Retry-After says and try again.",
		Source:     SourceErrwire,
	},
	{
		Code: Timeout, Status: 504, Type: "timeout_error", Class: ClassTimeout, Retry: RetryBackoff,
		Message: "The request took longer than the server allows.",
		Cause:   "The work did not finish in time.",
		Fix:     "Ask for less in one request, or try again later.",
		Source:  SourceErrwire,
	},
	{
		Code: Overloaded, Status: 529, Type: "service_unavailable_error", Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The service is overloaded. Try again after the time in the Retry-After header.",
		Cause:      "All capacity of the service is in use.",
		Fix:        "Wait, then send more slowly.",
		Source:     SourceErrwire,
	},
}

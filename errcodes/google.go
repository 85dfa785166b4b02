package errcodes

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Google returns the error vocabulary of Google's APIs, Gemini among them:
// {"error":{"code":int,"message","status","details":[]}}, where code is the HTTP status. The wire code of a row is
// the canonical status word (UNAVAILABLE); the type is the reason in ErrorInfo, which the rows of this library use
// where one word stands for several conditions.
// The registry is built once and shared.
func Google() *Registry { return google() }

const (
	srcGoogle      = "Google, canonical error codes (google.rpc.Code), 2026-11-21"
	srcGoogleRetry = srcGoogle + "; retry rule: errwire"
	srcGoogleWait  = srcGoogle + "; retry rule and retry-after: errwire"
)

var google = builtin("google", GoogleDialect{}, []Entry{
	{
		Code: InvalidRequest, Wire: "INVALID_ARGUMENT", Status: 400, Class: ClassInvalidRequest,
		Message: "The request is not valid.",
		Cause:   "An argument is wrong whatever the state of the system.",
		Fix:     "Correct what the message names.",
		Source:  srcGoogleRetry,
	},
	{
		Code: InvalidJSON, Wire: "INVALID_ARGUMENT", Status: 400, Class: ClassInvalidRequest,
		Message: "The request body is not valid JSON.",
		Cause:   "The body is not a JSON object.",
		Fix:     "Check the syntax at the position that the message names.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingModel, Wire: "INVALID_ARGUMENT", Status: 400, Class: ClassInvalidRequest, Param: "model",
		Message: "The model field is missing or not a string.",
		Cause:   "A required field is absent: model.",
		Fix:     "Name the model.",
		Source:  SourceErrwire,
	},
	{
		Code: MissingInput, Wire: "INVALID_ARGUMENT", Status: 400, Class: ClassInvalidRequest,
		Message: "A required field is missing or of the wrong kind.",
		Cause:   "A required field is absent, such as contents.",
		Fix:     "Add the field that the error names.",
		Source:  SourceErrwire,
	},
	{
		Code: InvalidInput, Wire: "INVALID_ARGUMENT", Status: 400, Class: ClassInvalidRequest,
		Message: "A field has a value that is not accepted.",
		Cause:   "The value of a field is not accepted.",
		Fix:     "Correct the field that the error names.",
		Source:  SourceErrwire,
	},
	{
		Code: FailedPrecondition, Wire: "FAILED_PRECONDITION", Status: 400, Class: ClassInvalidRequest,
		Message: "The state of the system does not allow this request.",
		Cause:   "Something has to be set up first, such as billing or the region.",
		Fix:     "Do what the message asks for, then send the request again.",
		Source:  srcGoogleRetry,
	},
	{
		Code: InvalidAPIKey, Wire: "UNAUTHENTICATED", Status: 401, Class: ClassAuthentication,
		Message: "The API key is not valid.",
		Cause:   "The credential is not valid.",
		Fix:     "Use a valid key.",
		Source:  srcGoogleRetry,
	},
	{
		Code: MissingAPIKey, Wire: "UNAUTHENTICATED", Status: 401, Class: ClassAuthentication,
		Message: "No API key was given.",
		Cause:   "The request has no credential.",
		Fix:     "Send a key.",
		Source:  SourceErrwire,
	},
	{
		Code: InsufficientBalance, Wire: "FAILED_PRECONDITION", Status: 402, Type: "BILLING_DISABLED", Class: ClassBilling,
		Message: "The account cannot pay for this request.",
		Cause:   "Billing is not enabled or the balance is too low.",
		Fix:     "Check the billing of the project.",
		Source:  SourceErrwire,
	},
	{
		Code: PermissionDenied, Wire: "PERMISSION_DENIED", Status: 403, Class: ClassPermission,
		Message: "The caller may not do this.",
		Cause:   "The credential is valid and lacks the permission.",
		Fix:     "Grant the permission, or use another credential.",
		Source:  srcGoogleRetry,
	},
	{
		Code: IPNotAllowed, Wire: "PERMISSION_DENIED", Status: 403, Type: "API_KEY_IP_ADDRESS_BLOCKED", Class: ClassPermission,
		Message: "This API key may not be used from this IP address.",
		Cause:   "The address of the caller is not on the list of the key.",
		Fix:     "Add the address to the list of the key.",
		Source:  SourceErrwire,
	},
	{
		Code: APIKeySpendLimitExceeded, Wire: "PERMISSION_DENIED", Status: 403, Type: "SPEND_LIMIT_EXCEEDED", Class: ClassBilling,
		Message: "The spend limit of this API key has been reached.",
		Cause:   "The key has spent all that it was allowed to.",
		Fix:     "Raise the spend limit of the key.",
		Source:  SourceErrwire,
	},
	{
		Code: NotFound, Wire: "NOT_FOUND", Status: 404, Class: ClassNotFound,
		Message: "There is nothing at this path.",
		Cause:   "The resource does not exist.",
		Fix:     "Check the path and the names in it.",
		Source:  srcGoogleRetry,
	},
	{
		Code: ModelNotFound, Wire: "NOT_FOUND", Status: 404, Class: ClassNotFound, Param: "model",
		Message: "There is no such model.",
		Cause:   "The model does not exist or is closed to the caller.",
		Fix:     "Take a model from the list of models.",
		Source:  SourceErrwire,
	},
	{
		Code: RunNotFound, Wire: "NOT_FOUND", Status: 404, Class: ClassNotFound,
		Message: "There is no such run for this account.",
		Cause:   "No run of the account has this id.",
		Fix:     "Check the id, and the key that the run was made with.",
		Source:  SourceErrwire,
	},
	{
		Code: MethodNotAllowed, Wire: "UNIMPLEMENTED", Status: 405, Class: ClassUnsupported,
		Message: "This path does not serve this method.",
		Cause:   "The route exists for other methods only.",
		Fix:     "Use a method that the Allow header lists.",
		Source:  SourceErrwire,
	},
	{
		Code: RequestTimeout, Wire: "DEADLINE_EXCEEDED", Status: 408, Type: "REQUEST_TIMEOUT", Class: ClassTimeout,
		Retry:   RetryBackoff,
		Message: "The request took too long to arrive.",
		Cause:   "The body was sent more slowly than the server waits.",
		Fix:     "Send it again, over a faster connection or in smaller parts.",
		Source:  SourceErrwire,
	},
	{
		Code: Conflict, Wire: "ALREADY_EXISTS", Status: 409, Class: ClassConflict,
		Message: "The request conflicts with the present state.",
		Cause:   "Something else changed what the request is about.",
		Fix:     "Read the present state and decide again.",
		Source:  SourceErrwire,
	},
	{
		Code: BodyTooLarge, Wire: "INVALID_ARGUMENT", Status: 413, Type: "BODY_TOO_LARGE", Class: ClassTooLarge,
		Message: "The request body is too large.",
		Cause:   "The body is longer than the endpoint accepts.",
		Fix:     "Send less in one request.",
		Source:  SourceErrwire,
	},
	{
		Code: UnsupportedMediaType, Wire: "INVALID_ARGUMENT", Status: 415, Type: "UNSUPPORTED_MEDIA_TYPE", Class: ClassInvalidRequest,
		Message: "The request body must be JSON, declared with Content-Type: application/json.",
		Cause:   "The Content-Type is missing or not JSON in UTF-8.",
		Fix:     "Send the header Content-Type: application/json.",
		Source:  SourceErrwire,
	},
	{
		Code: RateLimited, Wire: "RESOURCE_EXHAUSTED", Status: 429, Class: ClassRateLimited, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "Too many requests in a short time. Wait as the retry delay says and try again.",
		Cause:      "A limit per minute is exceeded.",
		Fix:        "Wait as RetryInfo says and send more slowly.",
		Source:     srcGoogleWait,
	},
	{
		Code: UsageExceeded, Wire: "RESOURCE_EXHAUSTED", Status: 429, Type: "USAGE_EXCEEDED", Class: ClassQuotaExhausted,
		Message: "The usage quota of this API key is exhausted.",
		Cause:   "The allowance per day or per plan is spent.",
		Fix:     "Have the quota raised; waiting a little does not help.",
		Source:  SourceErrwire,
	},
	{
		Code: ClientClosed, Wire: "CANCELLED", Status: 499, Class: ClassCanceled,
		Message: "The caller canceled the request.",
		Cause:   "The caller left or ran into a deadline of its own.",
		Fix:     "Nothing on the server; give the call more time.",
		Source:  srcGoogleRetry,
	},
	{
		Code: Internal, Wire: "INTERNAL", Status: 500, Class: ClassServerError, Retry: RetryOnce,
		Message: "The server failed unexpectedly.",
		Cause:   "An unexpected failure on the side of the server.",
		Fix:     "Try once more after a pause; if it fails again, report the request id.",
		Source:  srcGoogleRetry,
	},
	{
		Code: BadGateway, Wire: "UNAVAILABLE", Status: 502, Type: "BAD_GATEWAY", Class: ClassServerError, Retry: RetryBackoff,
		Message: "A server behind this one gave no usable answer.",
		Cause:   "The server behind this one is down or answers nonsense.",
		Fix:     "Try again a little later.",
		Source:  SourceErrwire,
	},
	{
		Code: Unavailable, Wire: "UNAVAILABLE", Status: 503, Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The service is not available just now. Try again after the time in the Retry-After header.",
		Cause:      "The service is down or at capacity.",
		Fix:        "Wait and try again, more slowly each time.",
		Source:     srcGoogleWait,
	},
	{
		Code: Timeout, Wire: "DEADLINE_EXCEEDED", Status: 504, Class: ClassTimeout, Retry: RetryBackoff,
		Message: "The request took longer than the server allows.",
		Cause:   "The work did not finish in time.",
		Fix:     "Ask for less in one request, or try again later.",
		Source:  srcGoogleRetry,
	},
	{
		Code: Overloaded, Wire: "UNAVAILABLE", Status: 529, Type: "OVERLOADED", Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The service is overloaded. Try again after the time in the Retry-After header.",
		Cause:      "All capacity of the service is in use.",
		Fix:        "Wait, then send more slowly.",
		Source:     SourceErrwire,
	},
}...)

// GoogleDialect spells errors as google.rpc.Status in JSON: {"error":{"code","message","status","details"}}, where
// code is the HTTP status, Body.Code the status word and Body.Type the reason in an ErrorInfo detail. The wait
// stands in a RetryInfo, the request id in a RequestInfo, param and fields in a BadRequest, the param first.
// The zero value is ready to use.
type GoogleDialect struct{}

var _ Dialect = GoogleDialect{}

const (
	googleType   = "type.googleapis.com/google.rpc."
	googleDomain = "errwire"
)

// Slots returns SlotType, SlotCode, SlotParam, SlotRequestID, SlotStatus and SlotRetryAfter.
func (GoogleDialect) Slots() Slot {
	return SlotType | SlotCode | SlotParam | SlotRequestID | SlotStatus | SlotRetryAfter
}

// ContentType returns "application/json".
func (GoogleDialect) ContentType() string { return contentTypeJSON }

// Append appends the status; see [Dialect].
func (GoogleDialect) Append(dst []byte, b Body) []byte {
	dst = append(dst, `{"error":{`...)
	if b.Status > 0 {
		dst = strconv.AppendInt(appendName(dst, "code"), int64(b.Status), 10)
	}
	dst = appendMessage(dst, `,"message":"`, b.Message)
	dst = appendMember(dst, `,"status":"`, b.Code)
	if b.Type == "" && b.Param == "" && len(b.Fields) == 0 && b.RequestID == "" && b.RetryAfter <= 0 {
		return append(dst, "}}"...)
	}
	dst = append(appendName(dst, "details"), '[')
	if b.Type != "" {
		dst = appendDetail(dst, "ErrorInfo")
		dst = appendMember(dst, `,"reason":"`, b.Type)
		dst = append(appendMember(dst, `,"domain":"`, googleDomain), '}')
	}
	if len(b.Fields) > 0 || b.Param != "" {
		dst = appendDetail(dst, "BadRequest")
		dst = append(appendName(dst, "fieldViolations"), '[')
		// The first violation is the param: that is what a reader takes for it.
		if b.Param != "" && (len(b.Fields) == 0 || b.Fields[0].Path != b.Param) {
			dst = append(appendMember(append(dst, '{'), `,"field":"`, b.Param), '}')
		}
		for i := range b.Fields {
			if dst[len(dst)-1] == '}' {
				dst = append(dst, ',')
			}
			dst = appendMember(append(dst, '{'), `,"field":"`, b.Fields[i].Path)
			dst = append(appendMessage(dst, `,"description":"`, b.Fields[i].Message), '}')
		}
		dst = append(dst, "]}"...)
	}
	if b.RetryAfter > 0 {
		dst = appendDetail(dst, "RetryInfo")
		dst = append(appendDuration(appendName(dst, "retryDelay"), b.RetryAfter), '}')
	}
	if b.RequestID != "" {
		dst = appendDetail(dst, "RequestInfo")
		dst = append(appendMember(dst, `,"requestId":"`, b.RequestID), '}')
	}
	return append(dst, "]}}"...)
}

// appendDetail opens a detail of the given message type.
func appendDetail(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '[' {
		dst = append(dst, ',')
	}
	dst = append(dst, `{"@type":"`+googleType...)
	dst = append(dst, name...)
	return append(dst, '"')
}

// appendDuration appends d as the JSON form of google.protobuf.Duration: "1.500s".
func appendDuration(dst []byte, d time.Duration) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	if frac := int64(d % time.Second); frac > 0 {
		digits := 9
		for frac%1000 == 0 {
			frac /= 1000
			digits -= 3
		}
		dst = append(dst, '.')
		for scale := int64(math.Pow10(digits - 1)); scale > 0; scale /= 10 {
			dst = append(dst, byte('0'+frac/scale%10))
		}
	}
	return append(dst, 's', '"')
}

// parseDuration reads what appendDuration writes and any number of decimals; 0 for anything else
// and for what is negative or beyond the range of a Duration.
func parseDuration(s string) time.Duration {
	s, ok := strings.CutSuffix(s, "s")
	whole, frac, _ := strings.Cut(s, ".")
	if !ok || skipDigits(whole, 0) != len(whole) || frac != "" && skipDigits(frac, 0) != len(frac) {
		return 0
	}
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec >= math.MaxInt64/int64(time.Second) {
		return 0
	}
	d := time.Duration(sec) * time.Second
	unit := time.Second / 10
	for i := 0; i < len(frac) && unit > 0; i++ {
		d += time.Duration(frac[i]-'0') * unit
		unit /= 10
	}
	return d
}

// Decode reads a status, also as the first element of an array, as some of Google's streams send it. See [Dialect].
func (GoogleDialect) Decode(data []byte) (Body, error) {
	var outer [1]string
	root, err := open(data, []string{"error"}, outer[:])
	if errors.Is(err, ErrNotError) {
		each(root, func(raw string) bool {
			if pick(raw, []string{"error"}, outer[:]) {
				err = nil
			}
			return false
		})
	}
	if err != nil {
		return Body{}, err
	}
	var in [4]string
	if !pick(outer[0], []string{"code", "message", "status", "details"}, in[:]) {
		return Body{}, ErrNotError
	}
	n := len(data)
	b := Body{Status: statusOf(text(in[0], n)), Message: text(in[1], n), Code: text(in[2], n)}
	details := 0
	each(in[3], func(raw string) bool {
		b.detail(raw, n)
		details++
		return details < maxFields
	})
	return b, nil
}

// detail takes over what one element of details says; the first of each kind counts.
func (b *Body) detail(raw string, n int) {
	var d [5]string
	if !pick(raw, []string{"@type", "reason", "fieldViolations", "retryDelay", "requestId"}, d[:]) {
		return
	}
	switch strings.TrimPrefix(text(d[0], 0), googleType) {
	case "ErrorInfo":
		if b.Type == "" {
			b.Type = text(d[1], n)
		}
	case "BadRequest":
		if b.Param == "" {
			each(d[2], func(raw string) bool {
				var f [1]string
				pick(raw, []string{"field"}, f[:])
				b.Param = text(f[0], n)
				return false
			})
		}
	case "RetryInfo":
		if b.RetryAfter == 0 {
			b.RetryAfter = parseDuration(text(d[3], 0))
		}
	case "RequestInfo":
		if b.RequestID == "" {
			b.RequestID = text(d[4], n)
		}
	}
}

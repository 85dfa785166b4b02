package errcodes

import "time"

// RunInfra returns the error vocabulary of RunInfra, as its error page documents it:
// {"error":{"message","type"}} with no code. The page names one type; the others are this library's.
// The registry is built once and shared.
func RunInfra() *Registry { return runInfra() }

const (
	srcRunInfra     = "RunInfra, error reference, 2026-11-21"
	srcRunInfraType = srcRunInfra + "; type: errwire"
	srcRunInfraWait = srcRunInfra + "; type and default of retry-after: errwire"
)

var runInfra = builtin("runinfra", RunInfraDialect{}, []Entry{
	{
		Code: InvalidRequest, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request is not valid.",
		Cause:   "The request is malformed: its JSON, a required field or its content type.",
		Fix:     "Correct the request; do not repeat it as it is.",
		Source:  srcRunInfra,
	},
	{
		Code: InvalidJSON, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request body is not valid JSON.",
		Cause:   "The body does not have the shape of a JSON object.",
		Fix:     "Check the JSON at the position that the message names.",
		Source:  srcRunInfra,
	},
	{
		Code: MissingModel, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest, Param: "model",
		Message: "The model field is missing or not a string.",
		Cause:   "A required field is absent: model.",
		Fix:     "Name the model in the body.",
		Source:  srcRunInfra,
	},
	{
		Code: MissingInput, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest, Param: "messages",
		Message: "The messages field is missing or not an array.",
		Cause:   "A required field is absent: messages.",
		Fix:     "Add the messages to the body.",
		Source:  srcRunInfra,
	},
	{
		Code: InvalidInput, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "A field has a value that is not accepted.",
		Cause:   "A field has a value that the endpoint does not accept.",
		Fix:     "Correct the field that the message names.",
		Source:  srcRunInfra,
	},
	{
		Code: UnsupportedMediaType, Status: 400, Type: "invalid_request_error", Class: ClassInvalidRequest,
		Message: "The request body must be JSON, declared with Content-Type: application/json.",
		Cause:   "The content type is not JSON.",
		Fix:     "Send the header Content-Type: application/json.",
		Source:  srcRunInfra,
	},
	{
		Code: MissingAPIKey, Status: 401, Type: "authentication_error", Class: ClassAuthentication,
		Message: "No API key was given. Send it in the Authorization header as a Bearer token.",
		Cause:   "The API key is missing.",
		Fix:     "Send a key; keys are made and rotated in the settings.",
		Source:  srcRunInfraType,
	},
	{
		Code: InvalidAPIKey, Status: 401, Type: "authentication_error", Class: ClassAuthentication,
		Message: "The API key is not valid.",
		Cause:   "The API key is not valid.",
		Fix:     "Rotate the key in the settings.",
		Source:  srcRunInfraType,
	},
	{
		Code: PipelineScopeMismatch, Status: 403, Type: "permission_error", Class: ClassPermission,
		Message: "This API key belongs to another pipeline than the one in the URL.",
		Cause:   "The key is tied to one pipeline and the URL names another.",
		Fix:     "Use a key for the whole workspace, or one made for this pipeline.",
		Source:  srcRunInfraType,
	},
	{
		Code: PlanLimitExceeded, Status: 403, Type: "permission_error", Class: ClassPermission,
		Message: "A limit of the plan has been reached.",
		Cause:   "The plan allows no more of this, such as optimization sessions or playground requests.",
		Fix:     "Move to a plan with a higher limit.",
		Source:  srcRunInfraType,
	},
	{
		Code: FeatureNotInPlan, Status: 403, Type: "permission_error", Class: ClassPermission,
		Message: "This feature is not part of the plan.",
		Cause:   "The feature belongs to a higher plan.",
		Fix:     "Move to a plan that has the feature.",
		Source:  srcRunInfraType,
	},
	{
		Code: PipelineNotFound, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is no such pipeline.",
		Cause:   "The id of the pipeline in the request does not exist.",
		Fix:     "Look the id up under the deployments.",
		Source:  srcRunInfraType,
	},
	{
		Code: ModelNotFound, Status: 404, Type: "not_found_error", Class: ClassNotFound,
		Message: "There is no such model.",
		Cause:   "The id of the model in the request does not exist.",
		Fix:     "Look the id up under the deployments.",
		Source:  srcRunInfraType,
	},
	{
		Code: RateLimited, Status: 429, Type: "rate_limit_error", Class: ClassRateLimited, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "This API key sends too many requests. Wait as the Retry-After header says and try again.",
		Cause:      "The rate limit of the key is exceeded.",
		Fix:        "Wait as Retry-After says and back off further each time.",
		Source:     srcRunInfraWait,
	},
	{
		Code: Internal, Status: 500, Type: "server_error", Class: ClassServerError, Retry: RetryOnce,
		Message: "The server failed unexpectedly.",
		Cause:   "An unexpected failure on the side of the server.",
		Fix:     "Try once more after a pause; if it fails again, put the X-Request-Id into a support ticket.",
		Source:  srcRunInfraType,
	},
	{
		Code: Unavailable, Status: 503, Type: "service_unavailable_error", Class: ClassOverloaded, Retry: RetryBackoff,
		RetryAfter: time.Second,
		Message:    "The deployment cannot take requests just now. Try again after the time in the Retry-After header.",
		Cause:      "The deployment is stopped, is being provisioned, or has no capacity left.",
		Fix:        "Wait as Retry-After says and try again.",
		Source:     srcRunInfraWait,
	},
	{
		Code: Timeout, Status: 504, Type: "timeout_error", Class: ClassTimeout, Retry: RetryChanged,
		Message: "The request took longer than the server allows. Lower max_tokens or use streaming.",
		Cause:   "The generation did not finish within the time allowed.",
		Fix:     "Lower max_tokens or switch to streaming; the same request would take as long again.",
		Source:  srcRunInfraType,
	},
}...)

// RunInfraDialect spells errors as RunInfra does: {"error":{"message","type"}}.
// The zero value is ready to use.
type RunInfraDialect struct{}

var _ Dialect = RunInfraDialect{}

// Slots returns SlotType.
func (RunInfraDialect) Slots() Slot { return SlotType }

// ContentType returns "application/json".
func (RunInfraDialect) ContentType() string { return contentTypeJSON }

// Append appends message and type; see [Dialect].
func (d RunInfraDialect) Append(dst []byte, b Body) []byte {
	return appendErrorObject(dst, &b, d.Slots())
}

// Decode reads message and type; see [Dialect].
func (d RunInfraDialect) Decode(data []byte) (Body, error) { return decodeErrorObject(data, d.Slots()) }

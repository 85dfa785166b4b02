package errcodes

// Code names one condition. The word is the same in every [Registry]; the
// spelling on the wire is the registry's ([Entry.Wire]).
//
// Codes are compared byte by byte: there is no case folding. The zero value
// names nothing and is in no registry.
type Code string

// Conditions that every registry has a row for. The middleware of this module
// reports these and no others.
const (
	// InvalidRequest is a request that is wrong in a way no other code names.
	InvalidRequest Code = "invalid_request"
	// InvalidJSON is a body that is not one valid JSON value in UTF-8.
	InvalidJSON Code = "invalid_json"
	// MissingModel is a body without a model that is a string.
	MissingModel Code = "missing_model"
	// MissingInput is a body without the input that the endpoint requires.
	MissingInput Code = "missing_input"
	// InvalidInput is a field whose value breaks a rule of the model or endpoint.
	InvalidInput Code = "invalid_input"
	// MissingAPIKey is a request without a usable API key.
	MissingAPIKey Code = "missing_api_key"
	// InvalidAPIKey is an API key that is unknown, disabled or expired.
	InvalidAPIKey Code = "invalid_api_key"
	// InsufficientBalance is an account that cannot pay for this request.
	InsufficientBalance Code = "insufficient_balance"
	// PermissionDenied is a known caller who may not do this.
	PermissionDenied Code = "permission_denied"
	// IPNotAllowed is a key used from an address outside its list.
	IPNotAllowed Code = "ip_not_allowed"
	// APIKeySpendLimitExceeded is a key that has spent all it was allowed to.
	APIKeySpendLimitExceeded Code = "api_key_spend_limit_exceeded"
	// NotFound is a path that no route serves.
	NotFound Code = "not_found"
	// ModelNotFound is a model that does not exist for the caller.
	ModelNotFound Code = "model_not_found"
	// RunNotFound is a run that does not exist for the caller.
	RunNotFound Code = "run_not_found"
	// MethodNotAllowed is a route that does not serve the method.
	MethodNotAllowed Code = "method_not_allowed"
	// RequestTimeout is a request that took too long to arrive.
	RequestTimeout Code = "request_timeout"
	// Conflict is a request that contradicts the present state.
	Conflict Code = "conflict"
	// BodyTooLarge is a body beyond the limit of the endpoint.
	BodyTooLarge Code = "body_too_large"
	// UnsupportedMediaType is a body that is not declared as JSON.
	UnsupportedMediaType Code = "unsupported_media_type"
	// RateLimited is a caller who sends too fast: slower succeeds.
	RateLimited Code = "rate_limited"
	// UsageExceeded is a spent allowance: waiting a little does not help.
	UsageExceeded Code = "usage_exceeded"
	// ClientClosed is a caller who left. It is logged, never written.
	ClientClosed Code = "client_closed"
	// Internal is an unexpected failure of the server.
	Internal Code = "internal"
	// BadGateway is an unusable answer from a server behind this one.
	BadGateway Code = "bad_gateway"
	// Unavailable is a server that cannot take the request just now.
	Unavailable Code = "unavailable"
	// Timeout is work that took longer than the server allows.
	Timeout Code = "timeout"
	// Overloaded is a service whose capacity is used up by everybody.
	Overloaded Code = "overloaded"
)

// Conditions that only some providers document.
const (
	// PipelineScopeMismatch is a key tied to another pipeline than the URL's (RunInfra).
	PipelineScopeMismatch Code = "pipeline_scope_mismatch"
	// PlanLimitExceeded is a limit of the caller's plan (RunInfra).
	PlanLimitExceeded Code = "plan_limit_exceeded"
	// FeatureNotInPlan is a feature that needs a higher plan (RunInfra).
	FeatureNotInPlan Code = "feature_not_in_plan"
	// PipelineNotFound is a pipeline that does not exist for the caller (RunInfra).
	PipelineNotFound Code = "pipeline_not_found"

	// ContextLengthExceeded is a prompt longer than the model's window (OpenAI).
	ContextLengthExceeded Code = "context_length_exceeded"
	// UnsupportedValue is a value that the model does not support (OpenAI).
	UnsupportedValue Code = "unsupported_value"
	// MissingRequiredParameter is any other required field that is absent (OpenAI).
	MissingRequiredParameter Code = "missing_required_parameter"
	// UnsupportedCountry is a caller in a region that is not served (OpenAI).
	UnsupportedCountry Code = "unsupported_country_region_territory"
	// CreditBalanceExhausted is an account without prepaid credit (OpenAI).
	CreditBalanceExhausted Code = "credit_balance_exhausted"
	// OrganizationSpendLimitExceeded is a spend limit of the organization (OpenAI).
	OrganizationSpendLimitExceeded Code = "organization_spend_limit_exceeded"
	// ProjectSpendLimitExceeded is a spend limit of the project (OpenAI).
	ProjectSpendLimitExceeded Code = "project_spend_limit_exceeded"
	// FailedPrecondition is a request that the state of the system does not allow (Google).
	FailedPrecondition Code = "failed_precondition"

	// OrganizationUsageLimitExceeded is a usage limit of the organization (OpenAI).
	OrganizationUsageLimitExceeded Code = "organization_usage_limit_exceeded"
)

// NoCode as [Entry.Wire] says that the body of this row carries no code.
// It lies outside the alphabet of codes, so no code can be spelled like it.
const NoCode = "(none)"

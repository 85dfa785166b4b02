package errcodes_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// registries returns every registry of the package.
func registries() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(),
		errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

// documented holds what the providers' pages say, written down apart from the rows: condition, status, code on
// the wire, type ("-" for none), class, retry rule; "!" at the end where the work may have begun. A type or retry rule in
// parentheses is this library's choice, so the row must be marked.
var documented = map[string]string{
	"runinfra": `
invalid_request         400 - invalid_request_error       invalid_request never
invalid_json            400 - invalid_request_error       invalid_request never
missing_model           400 - invalid_request_error       invalid_request never
missing_input           400 - invalid_request_error       invalid_request never
invalid_input           400 - invalid_request_error       invalid_request never
unsupported_media_type  400 - invalid_request_error       invalid_request never
missing_api_key         401 - (authentication_error)      authentication never
invalid_api_key         401 - (authentication_error)      authentication never
pipeline_scope_mismatch 403 - (permission_error)          permission never
plan_limit_exceeded     403 - (permission_error)          permission never
feature_not_in_plan     403 - (permission_error)          permission never
pipeline_not_found      404 - (not_found_error)           not_found never
model_not_found         404 - (not_found_error)           not_found never
rate_limited            429 - (rate_limit_error)          rate_limited backoff
internal                500 - (server_error)              server_error once
unavailable             503 - (service_unavailable_error) overloaded backoff
timeout                 504 - (timeout_error)             timeout changed`,
	"runbase": `
invalid_json                 400 invalid_json                 - invalid_request never
missing_model                400 missing_model                - invalid_request never
missing_input                400 missing_input                - invalid_request never
invalid_input                400 invalid_input                - invalid_request never
model_not_found              400 model_not_found              - not_found never
missing_api_key              401 missing_api_key              - authentication never
invalid_api_key              401 invalid_api_key              - authentication never
insufficient_balance         402 insufficient_balance         - billing never
api_key_spend_limit_exceeded 403 api_key_spend_limit_exceeded - billing never
ip_not_allowed               403 ip_not_allowed               - permission never
run_not_found                404 run_not_found                - not_found never
rate_limited                 429 RATE_LIMITED                 - rate_limited backoff
usage_exceeded               429 USAGE_EXCEEDED               - quota_exhausted never
internal                     500 -                            - server_error (once)!`,
	"openai": `
invalid_request            400 -                          invalid_request_error invalid_request never
context_length_exceeded    400 context_length_exceeded    invalid_request_error context_length never
unsupported_value          400 unsupported_value          invalid_request_error invalid_request never
invalid_input              400 invalid_value              invalid_request_error invalid_request never
missing_required_parameter 400 missing_required_parameter invalid_request_error invalid_request never
missing_model              400 missing_required_parameter invalid_request_error invalid_request never
missing_input              400 missing_required_parameter invalid_request_error invalid_request never
invalid_api_key            401 invalid_api_key            invalid_request_error authentication never
unsupported_country_region_territory 403 unsupported_country_region_territory invalid_request_error permission never
model_not_found            404 model_not_found            invalid_request_error not_found never
rate_limited               429 rate_limit_exceeded        rate_limit_error rate_limited backoff
usage_exceeded             429 insufficient_quota         insufficient_quota quota_exhausted never
credit_balance_exhausted   429 credit_balance_exhausted   insufficient_quota billing never
organization_spend_limit_exceeded 429 organization_spend_limit_exceeded insufficient_quota billing never
project_spend_limit_exceeded      429 project_spend_limit_exceeded      insufficient_quota billing never
organization_usage_limit_exceeded 429 organization_usage_limit_exceeded insufficient_quota quota_exhausted never
internal                   500 -                          server_error server_error (once)
unavailable                503 server_is_overloaded       service_unavailable_error overloaded backoff
timeout                    504 timeout                    (server_error) timeout (backoff)`,
	"anthropic": `
invalid_request      400 - invalid_request_error invalid_request never
invalid_api_key      401 - authentication_error  authentication never
insufficient_balance 402 - billing_error         billing never
permission_denied    403 - permission_error      permission never
not_found            404 - not_found_error       not_found never
body_too_large       413 - request_too_large     too_large never
rate_limited         429 - rate_limit_error      rate_limited backoff
usage_exceeded       429 usage_exceeded (rate_limit_error) quota_exhausted (never)
internal             500 - api_error             server_error (once)
timeout              504 - timeout_error         timeout backoff
overloaded           529 - overloaded_error      overloaded backoff`,
	"google": `
invalid_request     400 INVALID_ARGUMENT    - invalid_request never
failed_precondition 400 FAILED_PRECONDITION - invalid_request never
invalid_api_key     401 UNAUTHENTICATED     - authentication never
permission_denied   403 PERMISSION_DENIED   - permission never
not_found           404 NOT_FOUND           - not_found never
rate_limited        429 RESOURCE_EXHAUSTED  - rate_limited backoff
client_closed       499 CANCELLED           - canceled never
internal            500 INTERNAL            - server_error once
unavailable         503 UNAVAILABLE         - overloaded backoff
timeout             504 DEADLINE_EXCEEDED   - timeout backoff`,
	"problem": generic,
}

// generic is what every registry answers for a condition that its provider does not speak of, in the
// dialect that has no types.
const generic = `
invalid_request              400 invalid_request              - invalid_request never
invalid_json                 400 invalid_json                 - invalid_request never
missing_model                400 missing_model                - invalid_request never
missing_input                400 missing_input                - invalid_request never
invalid_input                400 invalid_input                - invalid_request never
missing_api_key              401 missing_api_key              - authentication never
invalid_api_key              401 invalid_api_key              - authentication never
insufficient_balance         402 insufficient_balance         - billing never
permission_denied            403 permission_denied            - permission never
ip_not_allowed               403 ip_not_allowed               - permission never
api_key_spend_limit_exceeded 403 api_key_spend_limit_exceeded - billing never
not_found                    404 not_found                    - not_found never
model_not_found              404 model_not_found              - not_found never
run_not_found                404 run_not_found                - not_found never
method_not_allowed           405 method_not_allowed           - unsupported never
request_timeout              408 request_timeout              - timeout backoff
conflict                     409 conflict                     - conflict never
body_too_large               413 body_too_large               - too_large never
unsupported_media_type       415 unsupported_media_type       - invalid_request never
rate_limited                 429 rate_limited                 - rate_limited backoff
usage_exceeded               429 usage_exceeded               - quota_exhausted never
client_closed                499 client_closed                - canceled never
internal                     500 internal                     - server_error once
bad_gateway                  502 bad_gateway                  - server_error backoff
unavailable                  503 unavailable                  - overloaded backoff
timeout                      504 timeout                      - timeout backoff
overloaded                   529 overloaded                   - overloaded backoff`

func TestRowsSayWhatTheProvidersDocument(t *testing.T) {
	for _, r := range registries() {
		t.Run(r.Name(), func(t *testing.T) {
			lines := strings.Split(strings.TrimSpace(documented[r.Name()]), "\n")
			require.GreaterOrEqual(t, len(lines), 10)
			for _, line := range lines {
				f := strings.Fields(line)
				require.Len(t, f, 6, line)
				e, ok := r.Lookup(errcodes.Code(f[0]))
				require.True(t, ok, line)
				got := []string{string(e.Code), strings.TrimSpace(itoa(e.Status)), dash(e.WireCode()), dash(e.Type), e.Class.String(), e.Retry.String()}
				want := slices.Clone(f)
				choice := strings.Contains(line, "(")
				maybe := strings.HasSuffix(want[5], "!")
				for i := range want {
					want[i] = strings.Trim(want[i], "()!")
				}
				require.Equal(t, want, got, line)
				require.Equal(t, maybe, e.MaybeExecuted, line)
				if choice {
					require.Contains(t, e.Source, errcodes.SourceErrwire, line)
				} else if r.Name() != "problem" {
					require.Regexp(t, `, \d{4}-\d\d-\d\d(;|$)`, e.Source, "%s: the page and the day it was read", line)
				}
			}
		})
	}
}

// No row claims to be documented that the table above does not have.
func TestNoRowClaimsAPageThatIsSilent(t *testing.T) {
	for _, r := range registries() {
		for e := range r.All() {
			if e.Source != errcodes.SourceErrwire {
				require.Regexp(t, `(?m)^`+string(e.Code)+` `, documented[r.Name()], r.Name())
			}
		}
	}
}

// Every registry can say everything that the middleware reports.
func TestEveryRegistryHasEveryGenericCondition(t *testing.T) {
	for _, r := range registries() {
		for line := range strings.Lines(strings.TrimSpace(generic)) {
			f := strings.Fields(line)
			e, ok := r.Lookup(errcodes.Code(f[0]))
			require.True(t, ok, "%s lacks %s", r.Name(), f[0])
			if strings.HasPrefix(e.Source, errcodes.SourceErrwire) && r.Name() != "google" && r.Name() != "anthropic" {
				require.Equal(t, f[1], itoa(e.Status), "%s %s", r.Name(), f[0])
			}
		}
	}
}

// The statuses and the facts that RunInfra cannot tell apart on its wire follow from its shape.
func TestRunInfraGenericRowsYieldToTheWire(t *testing.T) {
	e, ok := errcodes.RunInfra().Lookup(errcodes.APIKeySpendLimitExceeded)
	require.True(t, ok)
	require.Equal(t, 403, e.Status)
	require.Equal(t, "permission_error", e.Type)
	require.Equal(t, errcodes.ClassPermission, e.Class, "no reader could tell it from a missing permission")
	e, ok = errcodes.RunInfra().Lookup(errcodes.UsageExceeded)
	require.True(t, ok)
	require.Equal(t, "insufficient_quota", e.Type)
	require.Equal(t, errcodes.RetryNever, e.Retry)
}

// What every public message owes to the clients that show it: a full sentence, no lone wildcard that
// a shell expands, no runs of blanks, and for a quota the words by which clients know not to retry.
func TestMessagesAreFitForStrangers(t *testing.T) {
	for _, r := range registries() {
		for e := range r.All() {
			where := r.Name() + " " + string(e.Code)
			require.Regexp(t, `^[A-Z].*\.$`, e.Message, where)
			require.NotContains(t, e.Message, "  ", where)
			require.NotContains(t, e.Message, "\n", where)
			require.NotContains(t, e.Message, "*", where)
			require.NotContains(t, e.Message, "?", where)
			require.NotEmpty(t, e.Cause, where)
			require.NotEmpty(t, e.Fix, where)
			require.NotEmpty(t, e.Source, where)
			if e.Class == errcodes.ClassQuotaExhausted {
				require.Regexp(t, "usage quota|quota exhausted", e.Message, where)
			}
			if e.Status == 429 && e.Retry != errcodes.RetryNever || e.Status == 503 {
				require.Positive(t, e.RetryAfter, where+": clients give up without a Retry-After")
			}
		}
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

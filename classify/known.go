package classify

import (
	"strings"

	"github.com/errwire/errwire/errcodes"
)

// strength is how much a known word decides.
type strength uint8

const (
	// faint words name a family so broad that nearly everything else says more: they decide
	// only after the text, and only under a status of their own kind.
	faint strength = iota
	// weak words give way to text that names something more lasting or more exact: many a
	// rate_limit_error is a spent quota.
	weak
	// strong words decide.
	strong
)

// knownWord is a code or type that means the same wherever it is seen.
type knownWord struct {
	stem     string // folded: see foldWord
	class    errcodes.Class
	strength strength
	retry    errcodes.Retry // RetryNever leaves it to class and status
	source   string
}

// Where the words were read, each in November 2026.
const (
	srcOpenAI    = "platform.openai.com/docs/guides/error-codes"
	srcAnthropic = "docs.claude.com/en/api/errors"
	srcGoogle    = "google.golang.org/genproto/googleapis/rpc/code"
	srcGemini    = "ai.google.dev/gemini-api/docs/troubleshooting"
	srcAWS       = "docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html"
	srcAzure     = "learn.microsoft.com/azure/ai-services/openai/reference"
	srcDashScope = "help.aliyun.com/zh/model-studio/error-code"
	srcGateways  = "github.com/BerriAI/litellm, github.com/songquanpeng/one-api, openrouter.ai/docs/errors"
	srcServers   = "github.com/vllm-project/vllm, github.com/ggml-org/llama.cpp, github.com/huggingface/text-generation-inference"
	srcRunbase   = "docs of Runbase, error codes"
	srcHTTP      = "RFC 9110 section 15"
	srcOAuth     = "RFC 6749 section 5.2, RFC 6750 section 3.1"
	srcProblem   = "iana.org/assignments/http-problem-types"
	srcGitHub    = "docs.github.com/en/rest"
	srcK8s       = "pkg.go.dev/k8s.io/apimachinery/pkg/apis/meta/v1#StatusReason"
	srcSlack     = "api.slack.com/methods"
	srcVercel    = "vercel.com/docs/errors"
	srcJSONRPC   = "jsonrpc.org/specification, section 5.1"
	srcStripe    = "docs.stripe.com/error-codes"
)

// knownWords is sorted by stem. A stem is the word without its spelling: rate_limit_error, RateLimitError
// and RATE-LIMIT are one row.
var knownWords = [...]knownWord{
	{"32600", errcodes.ClassInvalidRequest, weak, errcodes.RetryNever, srcJSONRPC},
	{"32601", errcodes.ClassUnsupported, weak, errcodes.RetryNever, srcJSONRPC},
	{"32602", errcodes.ClassInvalidRequest, weak, errcodes.RetryNever, srcJSONRPC},
	{"32700", errcodes.ClassInvalidRequest, weak, errcodes.RetryNever, srcJSONRPC},
	{"aborted", errcodes.ClassConflict, weak, errcodes.RetryBackoff, srcGoogle},
	{"abusedetected", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGitHub},
	{"accessdenied", errcodes.ClassPermission, weak, errcodes.RetryNever, srcAWS},
	{"accessdeniedunpurchased", errcodes.ClassPermission, weak, errcodes.RetryNever, srcDashScope},
	{"accesslimitreached", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"accessnotconfigured", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"accessterminated", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"accesstokenexpired", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGemini},
	{"accesstokentypeunsupported", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGemini},
	{"accountoverdue", errcodes.ClassBilling, strong, errcodes.RetryNever, srcDashScope},
	{"allocationquotafreetieronly", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcDashScope},
	{"alreadyexists", errcodes.ClassConflict, strong, errcodes.RetryNever, srcHTTP},
	{"api", errcodes.ClassServerError, faint, errcodes.RetryNever, srcAnthropic},
	{"apikeyexpired", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"apikeyhttpreferrerblocked", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"apikeyinvalid", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGemini},
	{"apikeyipaddressblocked", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"apikeylimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"apikeymissing", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"apikeyrequired", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"apikeyrevoked", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"apikeyserviceblocked", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"apikeyspendlimitexceeded", errcodes.ClassBilling, strong, errcodes.RetryNever, srcRunbase},
	{"apitokenlimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"apiunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"arrearage", errcodes.ClassBilling, strong, errcodes.RetryNever, srcDashScope},
	{"auth", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"authentication", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAnthropic},
	{"authenticationfailed", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"authenticationrequired", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"authfailure", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcDashScope},
	{"badcredentials", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"badgateway", errcodes.ClassServerError, faint, errcodes.RetryNever, srcHTTP},
	{"badrequest", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"balancenotenough", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"billing", errcodes.ClassBilling, strong, errcodes.RetryNever, srcAnthropic},
	{"billingdisabled", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGemini},
	{"billinghardlimitreached", errcodes.ClassBilling, strong, errcodes.RetryNever, srcOpenAI},
	{"billingnotactive", errcodes.ClassBilling, strong, errcodes.RetryNever, srcOpenAI},
	{"billingnotenabled", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGemini},
	{"blocklist", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGemini},
	{"bodytoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"budgetexceeded", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"capacityexceeded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"carddeclined", errcodes.ClassBilling, strong, errcodes.RetryNever, srcStripe},
	{"cfbadgateway", errcodes.ClassServerError, faint, errcodes.RetryNever, srcHTTP},
	{"circuitbreaking", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"concurrencylimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"conflict", errcodes.ClassConflict, weak, errcodes.RetryNever, srcHTTP},
	{"consumersuspended", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"contentblocked", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contentfilter", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contentfiltered", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contentmoderation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contentpolicy", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contentpolicyviolation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contenttoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"contentviolation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"contextlength", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"contextlengthexceeded", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcOpenAI},
	{"contexttoolong", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"contextwindowexceeded", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"credentialsmissing", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGemini},
	{"creditbalanceexhausted", errcodes.ClassBilling, strong, errcodes.RetryNever, srcOpenAI},
	{"creditlimitexceeded", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"credits", errcodes.ClassBilling, weak, errcodes.RetryNever, srcGateways},
	{"creditsexhausted", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"dailylimitexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGemini},
	{"dailylimitexceededunreg", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGemini},
	{"dailylimitreached", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"datainspectionfailed", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcDashScope},
	{"dataloss", errcodes.ClassServerError, faint, errcodes.RetryNever, srcGoogle},
	{"deadlineexceeded", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcGoogle},
	{"deploymentnotfound", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcAzure},
	{"doesnotexist", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcHTTP},
	{"edgefunctioninvocationtimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcVercel},
	{"endpointnotfound", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcHTTP},
	{"engineoverloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"entitytoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"esrejectedexecution", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"exceedcontextsize", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcServers},
	{"exceededcurrentquota", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"expiredcard", errcodes.ClassBilling, strong, errcodes.RetryNever, srcStripe},
	{"expiredkey", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"expiredtoken", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOAuth},
	{"failedprecondition", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcGoogle},
	{"featurenotsupported", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"filetoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"forbidden", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"freequotaexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"freetierexhausted", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"freeusagelimit", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"functioninvocationfailed", errcodes.ClassServerError, faint, errcodes.RetryNever, srcVercel},
	{"functioninvocationtimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcVercel},
	{"functionthrottled", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcVercel},
	{"gatewaytimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"highdemand", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"iampermissiondenied", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"idempotencykeyinuse", errcodes.ClassConflict, strong, errcodes.RetryBackoff, srcStripe},
	{"imagesafety", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGemini},
	{"imagetoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"incompletesignature", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"incorrectapikey", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"inferencetimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"inputmoderation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"inputtoolong", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"insufficientaccountbalance", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"insufficientbalance", errcodes.ClassBilling, strong, errcodes.RetryNever, srcRunbase},
	{"insufficientcapacity", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"insufficientcredit", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"insufficientcredits", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"insufficientfunds", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"insufficientpermissions", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"insufficientquota", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcOpenAI},
	{"insufficientscope", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"insufficientuserquota", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"internal", errcodes.ClassServerError, faint, errcodes.RetryNever, srcGoogle},
	{"internalfailure", errcodes.ClassServerError, faint, errcodes.RetryNever, srcAWS},
	{"internalserver", errcodes.ClassServerError, faint, errcodes.RetryNever, srcAWS},
	{"invalidaccesskeyid", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"invalidapikey", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOpenAI},
	{"invalidargument", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcGoogle},
	{"invalidauth", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcSlack},
	{"invalidauthentication", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"invalidauthorization", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"invalidbody", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"invalidclient", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOAuth},
	{"invalidclienttokenid", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"invalidcredentials", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"invalidendpointormodelnotfound", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcDashScope},
	{"invalidfield", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"invalidgrant", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOAuth},
	{"invalidinput", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcRunbase},
	{"invalidjson", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcRunbase},
	{"invalidkey", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"invalidmodel", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcGateways},
	{"invalidparameter", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"invalidprompt", errcodes.ClassContentPolicy, weak, errcodes.RetryNever, srcOpenAI},
	{"invalidrequest", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcOpenAI},
	{"invalidsignature", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"invalidtoken", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOAuth},
	{"invalidvalue", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcOpenAI},
	{"ipnotallowed", errcodes.ClassPermission, strong, errcodes.RetryNever, srcRunbase},
	{"ipnotauthorized", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"ipratelimited", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"jsonparse", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"keynotfound", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"keyratelimit", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"limitburstrate", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcDashScope},
	{"limitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"limitrequests", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcDashScope},
	{"loading", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"localratelimited", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"locktimeout", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"maxcontextlengthexceeded", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"messagetoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"methodnotallowed", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"mismatchedorganization", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOpenAI},
	{"missingapikey", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcRunbase},
	{"missingauthenticationtoken", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"missingauthorization", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"missinginput", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcRunbase},
	{"missingmodel", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcRunbase},
	{"missingparameter", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"missingrequiredparameter", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcOpenAI},
	{"missingscope", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"modelaccessdenied", errcodes.ClassPermission, weak, errcodes.RetryNever, srcDashScope},
	{"modelcontextwindowexceeded", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"modeldecommissioned", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modeldeprecated", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modeldoesnotexist", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modelisloading", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"modelloading", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"modelnotavailable", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modelnotexist", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modelnotfound", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcOpenAI},
	{"modelnotopen", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcDashScope},
	{"modelnotready", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcAWS},
	{"modelnotsupported", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcGateways},
	{"modeloverloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"modelratelimit", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"modelremoved", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modelretired", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"modeltemporarilyunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"modeltimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcAWS},
	{"modelunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"moderation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"moderationblocked", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcOpenAI},
	{"monthlylimitexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"noapikey", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"nocapacity", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"nocredits", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"nohealthyupstream", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"noorganization", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOpenAI},
	{"nosubscription", errcodes.ClassBilling, weak, errcodes.RetryNever, srcGateways},
	{"nosuch", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcHTTP},
	{"nosuchbucket", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcAWS},
	{"nosuchentity", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcAWS},
	{"nosuchkey", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcAWS},
	{"nosuchmodel", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"notauthed", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcSlack},
	{"notauthorized", errcodes.ClassPermission, weak, errcodes.RetryNever, srcAWS},
	{"notenoughcredits", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"notfound", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcAnthropic},
	{"notimplemented", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"nsfwcontent", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"operationnotsupported", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcAzure},
	{"operationtimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"organizationspendlimitexceeded", errcodes.ClassBilling, strong, errcodes.RetryNever, srcOpenAI},
	{"organizationusagelimitexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcOpenAI},
	{"outofcapacity", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"outofcredit", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"outofcredits", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"outofrange", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcGoogle},
	{"outputmoderation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"overcapacity", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"overdailylimit", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGemini},
	{"overloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcAnthropic},
	{"overloadedmodel", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"overquerylimit", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGemini},
	{"overratelimit", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"pagenotfound", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcHTTP},
	{"parse", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"payloadtoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"paymentrequired", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"permission", errcodes.ClassPermission, weak, errcodes.RetryNever, srcAnthropic},
	{"permissiondenied", errcodes.ClassPermission, weak, errcodes.RetryNever, srcGoogle},
	{"planlimitexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"policyviolation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"preconsumetokenquotafailed", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcGateways},
	{"prohibitedcontent", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGemini},
	{"projectspendlimitexceeded", errcodes.ClassBilling, strong, errcodes.RetryNever, srcOpenAI},
	{"promptblocked", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"prompttoolong", errcodes.ClassContextLength, strong, errcodes.RetryNever, srcGateways},
	{"provider", errcodes.ClassServerError, faint, errcodes.RetryNever, srcHTTP},
	{"providerunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"provisionedthroughputexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"quota", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"quotaexceeded", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"quotaexhausted", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"quotalimitexceeded", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"quotaviolation", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"rateexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"ratelimit", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcOpenAI},
	{"ratelimited", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcRunbase},
	{"ratelimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcOpenAI},
	{"ratelimitreached", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"readtimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"recitation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGemini},
	{"regionnotsupported", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"requestdenied", errcodes.ClassPermission, weak, errcodes.RetryNever, srcGemini},
	{"requestentitytoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcHTTP},
	{"requestforbidden", errcodes.ClassPermission, weak, errcodes.RetryNever, srcHTTP},
	{"requestinprogress", errcodes.ClassConflict, strong, errcodes.RetryBackoff, srcGateways},
	{"requestlimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"requestquotaexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"requests", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcOpenAI},
	{"requestslimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"requestthrottled", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"requesttimedout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"requesttimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"requesttoolarge", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcAnthropic},
	{"resourcealreadyexists", errcodes.ClassConflict, strong, errcodes.RetryNever, srcHTTP},
	{"resourceexhausted", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGoogle},
	{"resourcenotfound", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcAWS},
	{"responsetimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"responsibleaipolicyviolation", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcAzure},
	{"routenotfound", errcodes.ClassNotFound, weak, errcodes.RetryNever, srcHTTP},
	{"runnotfound", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcRunbase},
	{"safety", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGemini},
	{"secondaryratelimit", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGitHub},
	{"sensitivewordsdetected", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGateways},
	{"server", errcodes.ClassServerError, faint, errcodes.RetryNever, srcOpenAI},
	{"serverbusy", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"serverisoverloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcOpenAI},
	{"serveroverloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"servertimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcK8s},
	{"servicedisabled", errcodes.ClassPermission, strong, errcodes.RetryNever, srcGemini},
	{"servicenotavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"serviceoverloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcGateways},
	{"servicequotaexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcAWS},
	{"serviceunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcOpenAI},
	{"setlimitexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcDashScope},
	{"signaturedoesnotmatch", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"slowdown", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"slowdownoverloaded", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcOpenAI},
	{"spendinglimit", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"spendinglimitreached", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"spendlimitexceeded", errcodes.ClassBilling, strong, errcodes.RetryNever, srcGateways},
	{"spii", errcodes.ClassContentPolicy, strong, errcodes.RetryNever, srcGemini},
	{"spikearrestviolation", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"subscriptionrequired", errcodes.ClassBilling, weak, errcodes.RetryNever, srcGateways},
	{"systembusy", errcodes.ClassOverloaded, strong, errcodes.RetryNever, srcServers},
	{"temporarilyunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"throttle", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"throttled", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"throttling", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcAWS},
	{"throttlingallocationquota", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcDashScope},
	{"throttlingburstrate", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcDashScope},
	{"throttlingratequota", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcDashScope},
	{"timedout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"timeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcAnthropic},
	{"tokenexpired", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcOAuth},
	{"tokennotfoundindb", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGateways},
	{"tokenquotaexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"tokenrevoked", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcSlack},
	{"tokens", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcOpenAI},
	{"tokenslimitreached", errcodes.ClassTooLarge, strong, errcodes.RetryNever, srcGitHub},
	{"toomanyconcurrentrequests", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"toomanyrequests", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"unauthenticated", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcGoogle},
	{"unauthorized", errcodes.ClassAuthentication, weak, errcodes.RetryNever, srcHTTP},
	{"unauthorizedoperation", errcodes.ClassPermission, weak, errcodes.RetryNever, srcAWS},
	{"unavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcServers},
	{"unimplemented", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcGoogle},
	{"unknownmodel", errcodes.ClassNotFound, strong, errcodes.RetryNever, srcGateways},
	{"unprocessableentity", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
	{"unrecognizedclient", errcodes.ClassAuthentication, strong, errcodes.RetryNever, srcAWS},
	{"unsupportedapiformodel", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"unsupportedcountryregionterritory", errcodes.ClassPermission, strong, errcodes.RetryNever, srcOpenAI},
	{"unsupportedfeature", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"unsupportedmodel", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"unsupportedoperation", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcHTTP},
	{"unsupportedparameter", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcOpenAI},
	{"unsupportedvalue", errcodes.ClassUnsupported, strong, errcodes.RetryNever, srcOpenAI},
	{"upstream", errcodes.ClassServerError, faint, errcodes.RetryNever, srcHTTP},
	{"upstreamrequesttimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"upstreamtimeout", errcodes.ClassTimeout, weak, errcodes.RetryNever, srcHTTP},
	{"upstreamunavailable", errcodes.ClassOverloaded, weak, errcodes.RetryNever, srcHTTP},
	{"usageexceeded", errcodes.ClassQuotaExhausted, strong, errcodes.RetryNever, srcRunbase},
	{"usagelimitexceeded", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcGateways},
	{"usagelimitreached", errcodes.ClassQuotaExhausted, weak, errcodes.RetryNever, srcOpenAI},
	{"userratelimited", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGateways},
	{"userratelimitexceeded", errcodes.ClassRateLimited, weak, errcodes.RetryNever, srcGemini},
	{"validation", errcodes.ClassInvalidRequest, faint, errcodes.RetryNever, srcHTTP},
}

// foldWord returns a machine word in lower case without separators and without the endings exception, error and fault, in buf.
func foldWord(s string, buf *[64]byte) []byte {
	w := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', isDigit(c):
		default:
			continue
		}
		if w == len(buf) {
			return nil
		}
		buf[w] = c
		w++
	}
	out := buf[:w]
	for _, ending := range [...]string{"exception", "error", "fault"} {
		if n := len(out) - len(ending); n > 0 && string(out[n:]) == ending {
			out = out[:n]
			break
		}
	}
	return out
}

// sameEndings are ways to say that a limit was met.
var sameEndings = [...]string{"exceeded", "reached", "exhausted", "hit"}

// lookupWord finds a code or type in the table: whole, else its last part, else its first, where it is
// made of parts, such as a URI or Throttling.RateQuota.
func lookupWord(s string) *knownWord {
	if k := lookupStem(s); k != nil {
		return k
	}
	if i := strings.LastIndexAny(s, ".:/#"); i >= 0 {
		if k := lookupStem(s[i+1:]); k != nil {
			return k
		}
		return lookupStem(s[:strings.IndexAny(s, ".:/#")])
	}
	return nil
}

// lookupStem finds a code or type that is whole in the table, or would be if a limit that was reached were called exceeded.
func lookupStem(s string) *knownWord {
	var buf [64]byte
	stem := foldWord(s, &buf)
	if len(stem) == 0 {
		return nil
	}
	if k := findStem(stem); k != nil {
		return k
	}
	for _, ending := range sameEndings {
		n := len(stem) - len(ending)
		if n <= 0 || string(stem[n:]) != ending {
			continue
		}
		for _, other := range sameEndings {
			if n+len(other) <= len(buf) {
				if k := findStem(append(stem[:n], other...)); k != nil {
					return k
				}
			}
		}
		break
	}
	return nil
}

func findStem(stem []byte) *knownWord {
	low, high := 0, len(knownWords)
	for low < high {
		i := (low + high) / 2
		if knownWords[i].stem < string(stem) {
			low = i + 1
		} else {
			high = i
		}
	}
	if low == len(knownWords) || knownWords[low].stem != string(stem) {
		return nil
	}
	return &knownWords[low]
}

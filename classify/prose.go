package classify

import (
	"slices"
	"strings"
	"sync"

	"github.com/errwire/errwire/errcodes"
)

// maxProse bounds the prose that is judged: the first 4 KiB of a message say what it is about.
const maxProse = 4 << 10

// statuses is a set of groups of statuses in which a rule about prose holds.
type statuses uint16

const (
	on2xx  statuses = 1 << iota // no failure, or unknown: the body alone speaks
	on400                       // 400 and what says no more than that
	on401                       // 401, 407
	on402                       //
	on403                       // 403, 451
	on404                       // 404, 410
	on409                       // 409, 423, 425
	on413                       // 413, 414, 431
	on429                       //
	on500                       // 500, 501
	on503                       // 502, 503, 505 and up
	onTime                      // 408, 499, 504, 522, 524, 598, 599

	onAny     = on2xx | on400 | on401 | on402 | on403 | on404 | on409 | on413 | on429 | on500 | on503 | onTime
	onServer  = on500 | on503 | onTime
	onRequest = on2xx | on400 | on500
)

func groupOf(status int) statuses {
	switch {
	case status < 400, status >= 600:
		return on2xx
	case status == 401, status == 407:
		return on401
	case status == 402:
		return on402
	case status == 403, status == 451:
		return on403
	case status == 404, status == 410:
		return on404
	case status == 409, status == 423, status == 425:
		return on409
	case status == 413, status == 414, status == 431:
		return on413
	case status == 429, status == 420: // what Twitter sent before there was a 429
		return on429
	case status == 408, status == 499, status == 504, status == 522, status == 524, status == 598, status == 599:
		return onTime
	case status == 424:
		return on503 // what failed stands behind the server
	case status < 500:
		return on400
	case status <= 501:
		return on500
	}
	return on503
}

// proseRule judges prose by short phrases. In a phrase, words are separated by blanks; a|b is either, word* a word
// with that beginning, @x the words of a group, $ an amount of money, ~ up to three words in between, ~~ up to eight. Words are compared whole and without case;
// '_' belongs to words, '-' separates them; links are not looked at.
type proseRule struct {
	name    string
	class   errcodes.Class
	on      statuses
	retry   errcodes.Retry // for a conflict that passes by itself; else the class decides
	phrases []string
	cjk     []string // phrases in scripts without blanks, found anywhere
}

// proseRules are asked in this order: what lasts before what passes, the narrow before the broad. The first whose
// phrase is found, in a status group it holds for, decides.
var proseRules = [...]proseRule{
	{
		name: "spend limit", class: errcodes.ClassBilling, on: onAny,
		phrases: []string{
			"spend|spending limit|limits|cap", "budget ~ exceeded|reached|exhausted",
			"exceed*|over|above ~ budget", "used|spent|consumed up ~ budget", "billing ~ limit", "limit ~ billing", "usage|overage cap ~ reached|exceeded",
			"spend|spending ~ hit|reached|exceeded|exhausted", "monthly|daily|weekly|maximum|max spend|spending|budget", "spend|spending ~ ceiling|allowance|maximum|threshold", "hard|soft cap|limit ~ spend|spending|budget",
			"limit|cap|budget|maximum of|is|at $", "$ limit|cap|budget|maximum", "@met ~ budget",
			"spent ~ budget|limit|cap",
			"budget ~ used|spent|gone|consumed|depleted",
			"$ of|out $",
		},
	},
	{
		name: "current quota", class: errcodes.ClassQuotaExhausted, on: onAny &^ onTime &^ on404,
		phrases: []string{
			"exceed* ~ current quota", "quota ~ exhausted|depleted|consumed|insufficient|spent", "quota ~ used up", "quota ~ not enough|sufficient",
			"insufficient ~ quota", "no ~ quota", "out of ~ quota", "enough quota", "used|spent|consumed ~ up ~ quota|allowance|allocation|limit|limits",
			"usage limit|limits ~~ reached|exceeded|hit", "reached|exceed*|hit|over|beyond ~~ usage limit|limits",
			"free tier|quota|trial|plan ~ exhausted|expired|ended|over",
			"allocation|allowance ~ used up", "allocation|allowance ~ exhausted|exceeded|depleted", "trial ~ expired|ended|over",
			"plan limit|limits ~ reached|exceeded", "limit ~ of your ~ plan",
			"daily|weekly|monthly|yearly|annual ~ limit|limits|quota|allowance|cap ~ reached|exceeded|exhausted|hit",
			"trial ~~ came|come|comes|reached|at ~ end", "trial ~ finished|lapsed|concluded|done|up", "end of ~ trial", "daily|weekly|monthly|yearly|annual ~ quota|allowance|cap|allotment|allocation|limit ~ used|consumed|spent|depleted|gone|empty|finished",
			"reached|exceed*|hit|exhausted|used|ran|consumed|spent|over|past|beyond|surpass* ~~ daily|weekly|monthly|yearly|annual ~ limit|limits|quota|allowance|cap|allotment|allocation", "allotment|allowance|quota ~ gone|empty|finished|spent", "ran|run|running|gone through|out ~ allotment|allowance|quota|allocation", "limit|limits ~ of|for ~ cycle|month|week|day|year", "out of ~ free|included ~ requests|messages|calls|searches|generations|tokens|minutes|images",
			"no ~ requests|messages|calls|searches|generations|images|minutes left|remaining", "used|spent|consumed all|up ~~ requests|messages|calls|searches|generations|images", "reached|exceed*|hit ~~ plan|tier|subscription limit|limits|allowance|quota|cap", "all ~ requests|messages|calls|searches|generations|images ~ used|consumed|spent|gone",
			"requests|messages|calls ~ included ~~ used|spent|consumed|exhausted",
			"@trial ~ limit|limits|quota|requests ~~ @met", "limit|limits|number|maximum|requests|calls ~~ @trial ~~ @met", "@met ~~ @trial limit|limits|quota|allowance",
			"exceed*|above|over|beyond|than what ~ plan|tier|package|subscription|license",
			"quota|allowance|allotment|allocation ~ fully|entirely|completely used|consumed|spent|exhausted",
		},
		cjk: []string{"配额不足", "额度不足", "配额已用", "额度已用", "额度耗尽", "免费额度", "次数已用完"},
	},
	{
		name: "money", class: errcodes.ClassBilling, on: onAny &^ onTime,
		phrases: []string{
			"balance|credit|credits ~ too low|little", "balance|credit|credits|funds ~ used up", "enough ~ credit|credits|balance|funds|money|credit",
			"out of ~ credit|credits|funds|balance", "no ~ credit|credits|balance|funds", "not|doesnt|dont have ~ credit|credits|funds", "more credits",
			"payment method", "unpaid", "overdue", "arrears", "top up|it|them", "prepaid|prepayment ~ balance|funds|credits|amount|sum", "recharge",
			"billing ~ not ~ active|enabled|configured", "billing ~ inactive|disabled|required", "enable|requires|require|needs|activate billing",
			"account ~ not active", "subscription ~ expired|required|inactive|canceled|cancelled|lapsed", "needs|requires|require|need|without|no ~ subscription",
			"only ~ afford", "cannot|cant afford", "paid plan|account|tier|subscription ~ required|needed|only", "requires|needs|require|need ~ paid|higher ~ plan|tier",
			"purchase|buy ~ credits|credit", "license ~ expired",
			"wallet|purse ~ empty", "deposit ~ some|more|funds|money|credit|credits", "add|pay|load ~ funds|money|credit|credits", "owe|owes|owed|owing", "outstanding ~ amount|amounts|balance|debt|debts|bill|bills|sum",
			"settle|clear|pay ~ bill|bills|invoice|invoices|balance|debt|amount|dues", "card ~ declined|rejected|refused|failed|expired", "charge|charging ~ declined|failed|rejected", "could|can|cannot|cant|unable|not|failed ~ charge ~ card|account|you|payment|customer",
			"money|funds ~ left|gone|allotted|exhausted|depleted|remaining|spent|used", "out of ~ money", "used|spent|consumed ~ all|up|entire ~~ money|funds|balance|credit|credits",
			"renew ~ subscription|plan|license", "out|no|enable|buy|purchase|needs|requires|require|need|without ~ extra|additional|overage usage", "extra|additional|overage usage ~ required|needed|disabled|enabled|credits|billing",
			"subscription|membership ~ ended|over|paused|past|unpaid|suspended", "balance ~ is|at|below|has|of zero|negative|0", "account ~ in|into debt|red|overdraft",
			"@money ~ @lack", "@lack ~ @money", "@money ~ run|ran|runs|running dry|out|low|short", "@money ~ not|doesnt|cannot|cant ~ enough|sufficient|cover|suffice",
			"@bill ~ not|never|isnt|wasnt ~ paid|settled|received|processed|collected|cleared", "@bill ~ @unpaid", "@unpaid ~ @bill", "update|add|provide|enter|attach|verify|missing|no ~ payment|billing|card ~ details|information|method|card|data",
			"past ~ due", "account ~ hold|frozen|closed|suspended|stopped ~~ billing|payment|balance|invoice|bill|debt", "upgrade|switch|move to ~ paid|pro|premium|higher plan|tier|account|subscription", "add|link|register ~ credit|debit|bank card",
			"no ~ points|coins left|remaining", "not ~ enough ~ points|coins|units", "points|coins|units not enough",
			"deduction|debit|deduct|deducting|charge ~ failed", "burned|burnt|blown|run|ran|went|gone|used through|up ~ @money", "subscription|membership|license ~ run|ran out", "billing ~ not ~ set|setup|completed",
			"enough ~~ wallet", "used ~ full|whole ~ prepaid|balance|credit|credits",
			"plan|package ~ expired|ended|lapsed|cancelled|canceled|inactive", "more than|exceed* ~ balance|funds", "credit|credits limit|limits ~ @met",
			"no|without active|valid|current|paid plan|subscription|membership|license", "credit|credits|balance|funds ~ been|were|are|all ~ used|consumed",
		},
		cjk: []string{"余额不足", "欠费", "请充值", "账户余额", "未付费"},
	},
	{
		name: "content policy", class: errcodes.ClassContentPolicy, on: onRequest | on403 | on503,
		phrases: []string{
			"content policy|policies|filter|filters|filtered|filtering|moderation|management", "usage policy|policies", "safety system|filter|filters|policy|policies|guidelines|guardrails|reasons",
			"violat*|break|breaks|broke|breach* ~~ policy|policies|guidelines", "against ~~ policy|policies", "inappropriate|prohibited|harmful|disallowed|unsafe|objectionable|sexual|violent|hateful|explicit ~ content", "sensitive ~ words|content|information|text|data", "prohibited|forbidden|banned ~ words|word",
			"flagged ~~ moderation|safety|unsafe|policy|content|harmful|abuse", "was|been flagged", "unsafe generation|output|prompt|image|input|response", "found|deemed|considered|judged ~ unsafe|inappropriate|harmful", "failed|by|to moderation", "moderation ~ refused|rejected|blocked|flagged", "our|prompt|output filter|filters ~ stopped|blocked|rejected|refused|flagged", "responsible ai", "output|response|prompt|input ~ blocked|filtered",
			"nsfw", "copyrighted ~ material|content",
			"guardrail|guardrails ~ intervened|stopped|blocked|triggered|rejected|flagged|refused|tripped|intercepted|violated", "stopped|blocked|rejected|intercepted|refused|flagged|withheld|caught by|through ~ guardrail|guardrails", "illegal|offensive|abusive|graphic|adult|dangerous|toxic ~ content", "hateful|violent|sexual|illegal|offensive|abusive|graphic|harmful|inappropriate|prohibited|disallowed|unsafe|objectionable|adult|hate ~ material|imagery|speech", "hateful|offensive|abusive|inappropriate|harmful|toxic language", "content ~ risk|risks|risky",
			"violat*|break|breaks|broke|breach* ~~ terms", "community guidelines|standards", "stopped|blocked|rejected|intercepted|refused|flagged|withheld|caught by|through ~ content|safety|output|prompt|input|our filter|filters|rules|check|checks", "stopped|blocked|rejected|intercepted|refused|flagged|withheld|caught by|through ~ moderation|moderator|moderators", "safety ~ check|checks|classifier|classifiers|review|screening|layer|rules ~ failed|rejected|blocked|flagged|refused|stopped|tripped|triggered",
			"did not pass ~ moderation|safety|review|screening", "failed ~ moderation|safety|screening|review",
			"@touchy ~~ @refused", "@refused ~~ @touchy", "words|terms|phrases ~ not ~ allowed|permitted|acceptable", "@refused by|for|due|because ~ content|safety|moderation|policy",
			"real person|people", "nudity", "public figure|figures", "self harm",

			"safety|policy|ethical ~ grounds|reasons|concerns",
			"violat*|break|breaks|broke|breach* ~ our|content|community|usage ~ rules|standards",
		},
		cjk: []string{"敏感", "违规", "不合规", "内容安全", "不当内容"},
	},
	{
		name: "context length", class: errcodes.ClassContextLength, on: onRequest | on403 | on413 | on503,
		phrases: []string{
			"context length|window|size|limit ~~ exceed*|overflow*", "maximum|max ~ context", "context length|window|size ~~ tokens|token|maximum|max|larger|longer|shorter|reduce|too",
			"too large|long|big ~~ context", "longer|larger than ~~ context", "context length|window|size|overflow ~ of",
			"prompt|input|inputs|conversation|history|messages too long", "prompt|input|inputs|conversation|history|messages is|are|was ~ too long", "range of ~ input ~ length", "prompt|input ~ length ~~ exceed*", "prompt|input ~ exceed* ~~ tokens|token|length|limit",
			"max_seq_len|max_model_len|max_position_embeddings|n_ctx|max_input_tokens|max_total_tokens", "prompt_tokens|input_tokens ~~ exceed*|less|maximum|limit",
			"token|tokens count ~~ exceed*", "exceed* ~~ maximum|max|limit|allowed ~~ tokens", "tokens ~ exceed* ~~ maximum|max|limit|allowed", "too many tokens|input",
			"maximum|max ~ input|prompt ~ tokens|length", "inputs tokens", "less|fewer than ~ tokens",
			"shorten|trim|truncate ~ prompt|input|inputs|messages|conversation|context|history|text", "sequence|prompt|input length ~~ exceed*|beyond|longer|larger|over|above|greater", "not|doesnt|wont|cannot|cant|to fit ~ context|window", "tokens ~ more|beyond|over|above|longer ~ model|context|window",
			"prompt|input|conversation|history is|are|was longer|larger|bigger than", "more tokens than ~ model|context|window|it",
			"exceed*|over|above|beyond|past|surpass* ~~ input|prompt|context|token limit|length|window|size", "input|prompt|context|token limit ~~ exceed*|reached|over|passed|surpass*",
			"number of ~ tokens ~ prompt|input|messages ~~ larger|exceed*|more|greater|less|most|longer",
			"reduce|shorten ~ length ~ prompt|input|inputs|messages|conversation", "prompt|input|inputs|conversation|history|messages has|have|had ~ too long",
		},
		cjk: []string{"上下文长度", "最大长度", "超过模型", "输入过长"},
	},
	{
		name: "queue", class: errcodes.ClassOverloaded, on: onRequest | on429 | on503,
		phrases: []string{"queue ~ full|exceeded", "exceed* ~ queue", "queue size|length|depth|limit|capacity ~ exceeded|reached", "too many ~ pending|queued", "pending requests"},
	},
	{
		name: "too large", class: errcodes.ClassTooLarge, on: onRequest | on403 | on503,
		phrases: []string{
			"payload|body|request|entity|file|image|upload|attachment|audio|video|document|pdf|message|content|input ~ too large|big",
			"exceed* ~ maximum|max|allowed|size ~ size|mb|mib|kb|bytes|gb",
			"file|image|body|payload|request size ~ exceed*|larger|bigger|limit", "larger|bigger|more than ~ bytes|mb|mib|kb|gb|size", "too large ~~ bytes|mb|size",
			"larger|bigger|greater than ~ max|maximum|limit|allowed|permitted ~ size|body|message|upload|file", "file|image|body|payload|upload|attachment|audio|video|document|picture ~ larger|bigger|heavier|weighs", "too many messages|items|images|inputs|documents|tools|files|entries|requests|operations|queries ~ in|per ~ batch|request|array|call|list|conversation|prompt", "file|image|body|payload|upload|attachment|audio|video|document|picture exceed*",
			"upload|size|file limit",
			"mb|mib|kb|kib|gb|gib|bytes ~ more|larger|bigger|over|exceed*|above", "batch ~ exceed*|max|maximum|larger|bigger|big|large",
			"audio|video|recording|file ~ too long",
		},
	},
	{
		name: "request too large", class: errcodes.ClassTooLarge, on: on429,
		phrases: []string{
			"request|prompt|payload|message too large",
			"message|body|payload|frame|file ~ larger|bigger than ~ max|maximum|limit|allowed|permitted",
		},
	},
	{
		name: "api key", class: errcodes.ClassAuthentication, on: onRequest | on403 | on404 | on503,
		phrases: []string{
			"invalid|incorrect|missing|expired|bad|wrong|unknown|unrecognized|malformed|revoked|disabled|no|empty ~ api|access|subscription|secret|account key|keys|token|tokens",
			"api|access|subscription|secret key|keys|token ~~ invalid|incorrect|missing|expired|wrong|unknown|revoked|disabled|deleted|deactivated|blocked|required|malformed|mismatch", "api key ~ not ~ valid|found|exist|recognized|supported|correct|provided",
			"api_key|api_token ~ not|never ~ set|configured|defined|given|provided", "api key ~~ not ~ set|configured|defined", "api keys ~ not supported", "invalid|incorrect|missing|expired|wrong|unknown|no ~ api_key|apikey|access_token|x_api_key", "invalid|incorrect|expired|missing|bad|wrong|malformed|no ~ credential|credentials|authorization|authentication", "invalid|incorrect|expired|missing|bad|wrong|no request|hmac|webhook|token|api|jwt signature", "credentials ~ not|invalid|expired|required|missing",
			"authentication ~ failed|fails|failure|required|missing|invalid|expired", "authentication error", "not authenticated", "unauthenticated", "could not authenticate|validate credentials",
			"this|your|the|provided key ~ revoked|expired|disabled|deactivated", "incorrect|wrong|revoked|expired|disabled key", "parse|decode|read|validate|verify ~ authentication|access|auth|bearer|api|id token|key",
			"not contain|include|have|carry|provide ~ valid token|key|jwt|credential|credentials", "oauth|bearer|security|auth|session|login|jwt|identity|refresh token ~~ invalid|expired|missing|required|revoked|not|wrong|malformed", "invalid|expired|missing|bad|wrong|malformed oauth|bearer|security|auth|session|jwt|identity|refresh token",
			"signature ~ expired|mismatch", "signature ~~ not match|valid", "request|hmac|webhook|message|jwt signature ~ invalid|incorrect|wrong", "login required", "please login|authenticate",
			"invalid|incorrect|wrong|bad ~ username|password|passphrase|login", "username|password ~ invalid|incorrect|wrong", "verify ~ jwt|token", "jwt|session|token|login ~ expired|revoked",
			"not|dont|cannot|cant ~ recognize|recognise|accept|identify ~ key|token|credential|credentials|caller|client", "key|credential|credentials ~ not ~ recognized|recognised|accepted|known|valid|right|match|correct|active|registered", "token ~ not ~ recognized|recognised|accepted|registered|active", "sign|log in ~ first|again",
			"key|token|credential|credentials ~ belong|belongs|issued ~ another|different|other|wrong", "tenant|organization|project|environment ~~ token|key ~ not ~ match", "token|key ~~ tenant|environment|organization ~~ not|doesnt match", "key|token ~ past|reached ~ expiry|expiration",
			"key|token ~ has|was|been|is ~ rotated|withdrawn|invalidated|revoked|disabled|deactivated",
			"pass|provide|supply|include|send|use|set|specify|need|needs|requires ~ valid|correct ~ key|keys|token|credential|credentials",
			"key|token|credential|credentials ~ lapsed|rejected|refused|denied", "this|your|api key ~ not ~ exist|exists",
			"not|dont ~ know ~ key|token",
			"token is|was not ~ valid",
		},
		cjk: []string{"无效的令牌", "令牌无效", "令牌已过期", "密钥无效", "未登录", "鉴权失败", "身份验证", "apikey无效", "apikey错误", "apikey不存在", "密钥错误"},
	},
	{
		name: "missing or closed", class: errcodes.ClassNotFound, on: onRequest | on403 | on404 | on503,
		phrases: []string{"not exist|found or ~~ access|permission|permissions|authorized"},
	},
	{
		name: "region or permission", class: errcodes.ClassPermission, on: onRequest | on503,
		phrases: []string{
			"permission|permissions ~~ denied|required|missing|lack|insufficient", "lacks|lack|no|without|have|insufficient|missing ~ permission|permissions|privilege|privileges", "access denied|forbidden|restricted", "not authorized", "only authorized for|to", "not have ~ access", "dont have ~ access", "no access ~ to",
			"country|region|territory|location ~~ not ~ supported|available|allowed", "unsupported country|region|location|territory",
			"not allowed to ~ model|models|endpoint|resource", "account|organization|project|user|team ~ suspended|banned|blocked|disabled|deactivated|terminated|restricted|locked", "ip ~ not ~ allowed|whitelisted|allowlisted",
			"not ~ offered|available|supported|served|provided ~~ country|region|location|territory|jurisdiction", "country|region|location|jurisdiction ~ blocked|restricted|banned|excluded|sanctioned|embargoed", "outside ~ supported|allowed|permitted|available ~ countries|regions|locations|areas", "not allowed|enabled|permitted in ~ project|region|organization|account|plan|workspace|country|location",
			"not entitled|permitted|privileged to", "role|key|token|account|user ~ lacks|lack|without ~ right|rights|privilege|privileges|scope|scopes|permission|role", "admin|administrator|owner ~ disabled|blocked|restricted|forbids|forbidden", "requires|require|need|needs|missing ~ scope|scopes|role|privilege|rights",
			"must|need|needs|has|requires ~ verified|verification|approved|approval ~ to|before|for|first|organization|account|identity", "not|dont|doesnt|cannot ~ serve|support|offer|operate ~ country|countries|location|region|territory",
			"unavailable|blocked|restricted|forbidden|prohibited|disabled|banned ~ country|region|location|territory|jurisdiction",
		},
		cjk: []string{"无权限", "没有权限", "权限不足", "无权访问"},
	},
	{
		name: "not for everybody", class: errcodes.ClassPermission, on: on2xx | on400,
		phrases: []string{
			"access from|to ~ not|is ~ allowed|permitted|blocked|denied|restricted|forbidden", "only|just for ~ members|customers|partners|users|admins|subscribers|testers", "terms ~ accepted|accept|agreed|agree", "accept|agree ~ terms",
			"organization|account|user|project|team|key ~ not ~ allowed|permitted to",
		},
	},
	{
		name: "no such model", class: errcodes.ClassNotFound, on: onRequest | on404 | on503 | on403,
		phrases: []string{
			"model|models|deployment|engine ~~ not found|exist|exists|recognized|registered", "model|models|deployment ~~ decommissioned|retired|discontinued|sunset|removed|deprecated|legacy", "model|models|deployment ~~ shut down", "no such model|deployment|engine",
			"invalid model name|id|specified|identifier", "model name|id|identifier ~ invalid|incorrect|unknown|wrong|misspelled", "model|models|deployment ~ not available", "not a valid model", "model ~ no longer ~ available|supported|exists", "no model ~ found|named|with", "could not find ~ model", "no endpoints found ~ for|matching",
			"no ~ model|deployment|engine ~ name|id|called|named|known", "was|been|were|is|are switched|turned|phased off|out ~ on|in|since|from", "model|models|deployment ~~ switched|turned|phased off|out",
			"end of life", "no longer served|hosted|offered",
			"has|have|was|were|been|is ~ retired|decommissioned|discontinued|sunset|sunsetted", "never heard of", "model|models ~ gone|withdrawn",
		},
		cjk: []string{"模型不存在", "不存在的模型", "未找到模型"},
	},
	{
		// Behind a server's failure these would be a passing state.
		name: "model unknown here", class: errcodes.ClassNotFound, on: on400 | on403 | on404,
		phrases: []string{
			"is no model|deployment|engine", "not ~ know|recognize|recognise|host|serve|offer|have ~ model|engine|deployment", "model|engine|deployment ~ not ~ known|recognized|recognised|hosted|served|offered|listed|registered",
			"model|engine|deployment ~ unknown|unrecognized|nonexistent|missing|absent", "not a model|deployment", "shut off|down ~ on|in|since", "unknown ~ model|deployment|engine",
			"not|isnt a|an supported|valid|known|recognized|existing model|deployment|engine", "not ~ available anymore|longer", "not ~ available any more|longer",
			"model|engine|deployment ~ isnt|not ~ available|here|there",
		},
	},
	{
		// Whoever must install something else first is not helped by waiting.
		name: "client too old", class: errcodes.ClassUnsupported, on: onRequest | on403 | on429,
		phrases: []string{"update|upgrade ~~ latest|newer|newest version|client|sdk|release", "version|client|sdk|app is ~ outdated|old|obsolete|deprecated", "outdated|obsolete version|client|sdk|app"},
	},
	{
		name: "not supported", class: errcodes.ClassUnsupported, on: onRequest | on404,
		phrases: []string{
			"not|doesnt|dont|isnt|no|cannot|cant support|supported", "no longer supported", "unsupported ~ parameter|parameters|param|params|option|flag|value|model|operation|feature|field|api|version|method|endpoint|format|modality|tool|argument",
			"not ~ work with", "not|doesnt accept", "not ~ implemented", "not a chat model|endpoint", "only supports|supported", "not|isnt ~ compatible with", "incompatible with", "cannot|cant be used with|for|in",
			"not available ~ for|on|in|with this|the|your model|endpoint|version", "use|take|try ~ api|endpoint|route instead", "use|take the ~ completions|responses|messages|chat|embeddings ~ api|endpoint", "only available ~ responses|chat|completions|on|via|through",
			"unavailable with|for|on|in ~ model|models|endpoint|version|api|engine", "not ~ possible|usable|allowed|enabled|offered|provided ~ with|for|on|by ~ model|models|endpoint|engine",
			"model|engine ~ lacks|without ~ support|tools|vision|ability|feature",
			"param|parameter|tools|feature|option|mode ~ requires|needs ~ flag|option|setting|version",
		},
		cjk: []string{"不支持"},
	},
	{
		name: "not able", class: errcodes.ClassUnsupported, on: on400 | on404,
		phrases: []string{
			"model|engine|endpoint ~ not able|capable|designed|meant|built|made", "model|engine|endpoint ~ unable|incapable to|of", "model|engine|endpoint ~ cannot|cant|doesnt|not ~ use|take|read|see|process|handle|call|generate|produce|understand|do",
			"text only", "only|just takes|accepts|handles|understands|works",
			"isnt|not|arent|unavailable ~ available|offered|enabled|usable ~ for|on|with|by|in ~ deployment|model|models|endpoint|engine|mode",
			"not accepted|possible|usable|allowed by|with|for|together", "works|usable|allowed only|just with|for|on|through|together", "only works|usable|allowed",
			"endpoint|model ~ only|just for|supports",
		},
	},
	{
		name: "quota", class: errcodes.ClassQuotaExhausted, on: on400 | on402 | on403,
		phrases: []string{"quota|quotas ~~ exceeded|reached|exceeds", "exceed* ~ quota|quotas", "over quota", "storage|disk ~ limit|quota|space ~ exceeded|reached|full"},
	},
	{
		// Values and fields may be called like states: "must be one of idle, busy".
		name: "invalid value", class: errcodes.ClassInvalidRequest, on: on400,
		phrases: []string{
			"must be one of", "expected ~ one of", "unknown|unexpected|unrecognized|extra|invalid|illegal field|fields|parameter|parameters|argument|property|key|option|inputs|value|enum", "field|parameter|argument|property|option|value ~ unknown|unexpected|unrecognized|invalid",
			"not a|among ~ valid|permitted|allowed|known|accepted ~ value|values|option|options|choice|choices", "extra inputs|input|fields|field|keys ~ not permitted|allowed", "valid|allowed|possible|permitted|accepted values|options|choices",
		},
	},
	{
		name: "overloaded", class: errcodes.ClassOverloaded, on: onAny &^ on401 &^ on402 &^ on404 &^ on409 &^ on413,
		phrases: []string{
			"over|at|beyond|exceeded|full capacity", "no|insufficient|limited|lack|low|out ~ capacity", "capacity ~ limit|limits|constraints|constraint|exceeded|reached|problems|issues|unavailable|exhausted", "high|heavy|peak|excessive|increased ~ demand|traffic|load",
			"temporarily|currently|momentarily ~ unavailable|offline|down", "temporarily|currently|momentarily not ~ available|working|running|possible|reachable", "service|server|backend|model|api|upstream unavailable", "not ready", "loading model|weights", "still loading|starting|initializing|provisioning",
			"reinitializing|initializing", "starting up", "warming up", "cold start|starting", "no ~ available|healthy|live ~ server|servers|backend|backends|worker|workers|instance|instances|upstream|node|nodes|gpu|gpus|replica|replicas|endpoints|hosts|channel|accounts|providers",
			"under|for|scheduled|undergoing maintenance", "maintenance mode|window|downtime", "upstream connect error", "connection refused|termination", "not enough ~ @unit", "not enough ~ resources", "backend ~ unreachable|unhealthy|down", "origin|host|web server ~ unreachable|down", "scaling up", "resources ~ currently|temporarily",
			"try again ~ when ~ available|ready", "seconds lagged|behind", "replica|replication lag",
			"no ~ device|devices|thread|threads|room|capacity ~ available|free|left", "pool|backlog ~ exhausted|full|saturated|depleted", "cannot|cant|unable|not|no ~ take|accept|handle|serve|process|schedule ~ more|new|additional|further|any ~ work|requests|request|traffic|load|jobs|job|connections|calls|tasks", "backends|lanes|seats|rooms ~ occupied|full|used|saturated|taken",
			"saturated|swamped|overwhelmed|overburdened|congested|congestion|overloading", "fully booked|occupied|loaded|utilized", "waking|booting|spinning|powering up", "being restarted|rebooted|redeployed|deployed|loaded|provisioned|scaled|started|initialized|warmed|prepared",
			"restarting|rebooting|redeploying", "more ~ traffic|load|demand|requests|users ~ than ~ usual|normal|expected|handle|serve", "traffic|load|demand ~ high|heavy|unusual|peak|spike|spikes|surge",
			"surge|spike|spikes ~ traffic|load|demand|requests|users", "shedding|shed ~ load|requests|traffic", "back pressure", "backpressure",
			"short on|of ~ capacity|gpus|workers|resources", "temporarily|currently|momentarily ~ unable|out|overcommitted|unreachable|stopped", "not ~ enough ~ capacity|workers|gpus|servers",
			"model ~ asleep|sleeping|cold|hibernating", "queue ~ long|full|overflow*|saturated",
			"@unit ~ @full", "no ~ @unit ~ @free", "no @unit could|can|to", "too much load|traffic|demand", "too many users|people|customers|visitors",
			"lot|lots|amount|volume|number of ~ traffic|load|users|demand", "model|engine|service|server|container|instance ~~ loading|initializing|starting|warming|booting|restarting|deploying|scaling", "processing|handling|serving|receiving ~ too many|much requests|calls|jobs|tasks|traffic",
			"heavy|high|extreme ~ pressure",
			"@unit|is|are|was|service|engine|system|systems|model|models|backend|upstream|cluster|api|provider|we|currently|temporarily ~ busy|overloaded|overload", "out of ~ @unit", "no free|idle|spare @unit", "too many ~ jobs|tasks|calls ~ waiting|ahead", "load shedding", "weights|being ~ fetched|downloaded|pulled",
			"not available|reachable|working|possible ~ now|moment",
			"more users|people|signups|visitors|traffic|load|work|jobs ~ than ~ can|could ~ serve|handle|take|process", "@unit ~ draining|terminating|recycled|preempted|evicted",
		},
		cjk: []string{"访问量", "繁忙", "负载", "过载", "拥挤", "暂不可用", "无可用"},
	},
	{
		// In a complaint about a request, a word alone may be one of its values.
		name: "overloaded, in a word", class: errcodes.ClassOverloaded, on: on2xx | on403 | on429 | onServer,
		phrases: []string{"overloaded|overload|busy"},
	},
	{
		name: "rate", class: errcodes.ClassRateLimited, on: on2xx | on400 | on403 | on409 | on429 | onServer,
		phrases: []string{
			"rate limit|limits|limited|limiting ~~ exceeded|reached|hit|error|violated|triggered", "hourly|minute|second|rpm|tpm|qps|rps limit|limits", "rate limited|exceeded", "exceed*|reached|hit|over|surpassed|tripped ~ rate limit|limits", "ratelimited", "ratelimit ~ exceeded|reached",
			"too many visits|hits|accesses|invocations|transactions|commands|updates|posts|retries|tries|downloads|uploads|lookups|actions", "too many requests|calls|concurrent|simultaneous|parallel|connections|attempts|queries|api|messages|operations", "request|requests|call|calls|query|queries limit ~ exceeded|reached|hit", "limit exceeded for|on requests", "throttled|throttling|throttle", "slow down", "sending ~ too ~ fast|quickly|often|frequently", "request|requests|requested|requesting|calling|querying|posting|is|are|be too ~ fast|quickly|often|frequently|frequent", "ip banned|blocked until", "number of ~ requests|calls|queries|attempts|tries ~~ reached|exceeded", "limit of ~ attempts|requests|calls|tries ~ exceeded|reached", "allowed|permitted|maximum|max rate ~~ exceeded|reached",
			"secondary rate", "over qps|rps|rate", "abuse detection", "concurren*|simultaneous ~ limit ~ reached|exceeded", "maximum|max ~ concurren*|simultaneous ~ reached|exceeded", "concurren* ~ exceed*", "quota|quotas ~~ exceeded|reached", "exceed* ~ quota", "maximum ~ requests|queries ~ per", "flood control",
			"exceed*|above|over|beyond ~~ requests|calls|queries|messages ~ per|a|each second|minute|hour|sec|min", "exceed* ~ number of ~ requests|calls|queries|messages", "more|many requests|calls|queries|messages ~ than|in|within|per", "faster than ~ allowed|permitted|allow|permit",
			"calm down", "ease off|up", "back off", "reduce|lower|decrease ~ request|call|calling|sending|query rate|frequency", "reduce|lower|decrease ~ rate|frequency|number of ~ requests|calls|queries",
			"requests|calls|queries ~ rapidly|rapid|quick|fast", "rate|pace|speed|frequency of ~ requests|calls|queries ~ too|high|exceed*|above", "request|call rate ~ too|exceed*|above|high", "spike arrest",
			"burst ~ exceed*|limit",
			"more than ~ requests|calls|queries|messages ~ in|within|per|a", "limit of ~ rps|qps|rpm|tpm",
		},
		cjk: []string{"次数超过", "频率", "频繁", "限流", "限速", "并发", "请求过多", "速率"},
	},
	{
		name: "timed out", class: errcodes.ClassTimeout, on: on2xx | onServer | on429,
		phrases: []string{
			"timed out", "time|timing out", "timeout", "took ~ too long|much", "deadline ~ exceeded|passed|over|expired|missed", "did not ~ respond|answer|finish|complete|reply ~ in|within",
			"ran out of time", "time limit|budget ~ exceeded|reached|over|up", "no|without response|answer|reply ~ from|within|in ~ upstream|backend|model|server|origin|seconds|time",
			"gave|giving up ~ waiting|after", "waited ~ too long|seconds",
			"exceed* ~ time limit",
			"exceed* ~ deadline",
			"aborted|cancelled|canceled|killed|stopped after", "without ~ response|answer|reply",
			"needed|took|takes|ran|running|lasted|needs more|longer than",
		},
		cjk: []string{"超时"},
	},
	{
		name: "timed out, all the same", class: errcodes.ClassTimeout, on: on400,
		phrases: []string{"upstream ~ timeout", "has|have|was|request|query|operation|invocation timed out", "deadline exceeded"},
	},
	{
		// Two transactions met and one of them gave way: nothing is wrong with it.
		name: "contention", class: errcodes.ClassConflict, on: onRequest | on409 | on503, retry: errcodes.RetryBackoff,
		phrases: []string{
			"deadlock", "serialize access", "serialization failure|error|conflict", "database|table|row|record ~ locked", "lock wait", "lock not available",
			"obtain|acquire|get ~ exclusive access|lock", "obtain|acquire|get ~ lock", "transaction ~ ongoing", "write conflict", "concurrent update|updates|modification|modifications|write|writes ~~ retry|again",
			"locked by ~ another|other|concurrent ~ operation|request|process|transaction|job|update", "is|are being created|updated|deleted|repaired|modified|provisioned|upgraded|migrated", "another|other|concurrent ~ operation|update|upgrade ~ progress|running",
		},
	},
	{
		// Whoever says when to come back, and names nothing to change first, will do it then.
		name: "passes by itself", class: errcodes.ClassOverloaded, on: on2xx | on400,
		phrases: []string{"retry|again|back ~ in a few|couple", "retry|again|back ~ in a moment|second|minute|while|bit", "retry|again|back ~ shortly|momentarily"},
		cjk:     []string{"稍后", "一会儿"},
	},
	{
		name: "in progress", class: errcodes.ClassConflict, on: on409, retry: errcodes.RetryBackoff,
		phrases: []string{
			"in progress", "in flight", "running|pending|active|conflicting operation|operations|job|jobs|task|tasks", "busy", "being ~ processed|created|updated|deleted|modified|provisioned", "still|currently|already processing|running|being|pending|executing|performing|performed|executed|processed", "another|concurrent|previous|other ~ request|operation|transaction|run|update|deployment|job|build|import|task ~ progress|running|active|processing|pending|same|lock|locked", "wait until|till|for ~~ finish|finishes|finished|complete|completes|completed|done",
			"not ~ finished|completed|done ~ yet", "try again ~ later|shortly|soon|moment", "retry ~ later|shortly|soon", "retry|again|back ~ in a few|couple", "locked by", "temporarily locked", "lock ~ timeout|held|acquired",
		},
	},
	{
		name: "rate limit", class: errcodes.ClassRateLimited, on: on2xx | on400,
		phrases: []string{"rate limit please|retry|try", "hit|by|a rate limit", "api rate limit"},
	},
	{
		// So many of something that one may have: only fewer, or a larger plan, help.
		name: "number of resources", class: errcodes.ClassQuotaExhausted, on: on400 | on403,
		phrases: []string{
			"maximum|max|limit ~ amount|number|count of ~~ reached", "service|resource|account|project|organization limit|limits ~ exceeded|reached", "limit of ~~ exceeded|reached", "allowed|permitted number of ~~ reached",
		},
	},
	{
		name: "rate, all the same", class: errcodes.ClassRateLimited, on: on413,
		phrases: []string{"rate limited|limiting", "was|been|is throttled", "too many requests|calls"},
	},
	{
		name: "unknown host", class: errcodes.ClassNotFound, on: onRequest | on503,
		phrases: []string{"unknown|unconfigured|unregistered domain|host|hostname|bucket|zone|site"},
	},
	{
		name: "not found", class: errcodes.ClassNotFound, on: on2xx,
		phrases: []string{
			"not found", "does not exist", "doesnt exist", "no such", "no longer exists",
			"cant|cannot|couldnt|unable ~ find|locate",
		},
	},
	{
		name: "unauthorized", class: errcodes.ClassAuthentication, on: on2xx,
		phrases: []string{
			"unauthorized", "invalid|bad|wrong|incorrect|expired|unknown key|token|jwt|nonce|auth|session", "account|user|token|key|session ~ inactive|revoked|expired|deactivated",
			"not authed",
			"hasnt|havent|isnt|arent|not ~ authenticated|logged|signed",
		},
	},
	{
		name: "forbidden", class: errcodes.ClassPermission, on: on2xx,
		phrases: []string{
			"forbidden", "not permitted", "not allowed", "not granted", "no|missing permission|permissions|scope|access", "not in channel|team|group|organization|workspace|room",
			"restricted action",
		},
	},
	{
		name: "exists already", class: errcodes.ClassConflict, on: on2xx,
		phrases: []string{"already exists|taken|in|archived|pinned|reacted", "name|email taken", "duplicate key|entry|name"},
	},
	{
		name: "too long", class: errcodes.ClassTooLarge, on: on2xx,
		phrases: []string{"too large|long|big", "max|maximum ~ exceeded", "exceed*|over ~ max|maximum"},
	},
	{
		name: "unavailable", class: errcodes.ClassOverloaded, on: on2xx,
		phrases: []string{"unavailable", "out of service"},
	},
	{
		name: "invalid request", class: errcodes.ClassInvalidRequest, on: on2xx,
		phrases: []string{"invalid ~ request|argument|parameter|parameters|json|input|value|field|body|payload|format|syntax", "bad request", "malformed", "missing ~ required", "required ~ missing", "validation ~ error|failed", "could not ~ parse|deserialize|decode", "must be|not",
			"invalid|bad|wrong|unknown|missing params|arguments|args|argument|input|name|query|type|option|variable|format", "bad user input", "not provided", "cannot query field", "parse error", "field|argument|parameter ~ required|unknown|invalid"},
	},
}

// ruleQuota is the place of the rule about any other quota.
var ruleQuota = placeOf("quota")

func placeOf(name string) int {
	return slices.IndexFunc(proseRules[:], func(r proseRule) bool { return r.name == name })
}

// ruleSpend is the place of the rule about spend limits.
const ruleSpend = 0

// prose is a text cut into words, in lower case.
type prose struct {
	vocab   *vocabulary
	buf     []byte
	words   []span
	ids     []wordID // of words
	foreign bool     // there are other than ASCII letters
	stops   []stop   // where sentences begin, the first included
	settled bool     // the stops are settled
	quoted  []int16  // the words that stand alone in quotes
	numbers int      // how many words begin with a digit

	// What judge needs for a while.
	head   []int16  // by wordID: 1 + the first word of that number
	next   []int16  // by word: the next one of the same number, 0 for none
	marked []uint64 // the elements that some word fits, one bit each
	seen   []wordID
}

// lowerWord maps the bytes of words to lower case, all others to 0.
var lowerWord = func() (table [256]byte) {
	for c := range table {
		switch c := byte(c); {
		case c >= 'A' && c <= 'Z':
			table[c] = c + 'a' - 'A'
		case isWordByte(c):
			table[c] = c
		}
	}
	return table
}()

// takeProse returns an empty prose; putProse gives it back.
func takeProse() *prose {
	p, _ := prosePool.Get().(*prose)
	return p
}

func putProse(p *prose) {
	p.buf, p.words, p.ids, p.foreign = p.buf[:0], p.words[:0], p.ids[:0], false
	p.stops, p.settled, p.quoted, p.numbers = p.stops[:0], false, p.quoted[:0], 0
	prosePool.Put(p)
}

type span struct{ start, end int16 }

// stop is the beginning of a sentence.
type stop struct {
	at    int16 // the first word
	soft  bool  // it begins a clause, which counts only if it makes an offer
	offer bool  // see isOffer
}

func (p *prose) word(i int) []byte { return p.buf[p.words[i].start:p.words[i].end] }

var prosePool = sync.Pool{New: func() any {
	v := vocab()
	return &prose{
		vocab: v, buf: make([]byte, 0, maxProse), words: make([]span, 0, maxProse/8), ids: make([]wordID, 0, maxProse/8),
		head: make([]int16, len(v.words)), marked: make([]uint64, (len(v.elements)+63)/64),
	}
}}

// stop notes that a sentence, or with soft a clause, begins with the next word.
func (p *prose) stop(soft bool) {
	at := int16(len(p.words))
	if n := len(p.stops); n > 0 && p.stops[n-1].at == at {
		p.stops[n-1].soft = p.stops[n-1].soft && soft
		return
	}
	p.stops = append(p.stops, stop{at: at, soft: soft})
}

// end completes the word that begins at start.
func (p *prose) end(start int) {
	if isDigit(p.buf[start]) {
		p.numbers++
	}
	if w := p.buf[start:]; len(w) > len("_api_key") && strings.HasSuffix(string(w), "_api_key") {
		start = len(p.buf) - len("api_key") // of whichever provider: ACME_API_KEY
	}
	p.words = append(p.words, span{int16(start), int16(len(p.buf))})
	if p.buf[start] == '$' {
		p.ids = append(p.ids, p.vocab.money)
		return
	}
	p.ids = append(p.ids, p.vocab.lookup(p.buf, start))
}

// spoil makes word i one that no rule knows.
func (p *prose) spoil(i int) {
	p.word(i)[0] = '_'
	p.ids[i] = 0
}

// add cuts s into words. Phrases look across the end of a sentence, since their gaps are short; periods and offers do not.
func (p *prose) add(s string) {
	p.stop(false)
	for i := 0; i < len(s) && len(p.buf) < maxProse-64; {
		c := s[i]
		switch {
		case c == 'h' || c == 'H':
			if i+1 < len(s) && s[i+1]|0x20 != 't' {
				break
			}
			if n := linkLen(s[i:]); n > 0 {
				i += n
				continue
			}
		case c == '/':
			// "40 calls / minute"
			p.buf = append(p.buf, '/')
			p.end(len(p.buf) - 1)
			i++
			continue
		case c == '$' && i+1 < len(s) && isDigit(s[i+1]):
			// "$5" is no 5
			p.buf = append(p.buf, '$')
		case !isWordByte(c) && c < 0x80:
			if i++; c > ' ' || c == '\n' {
				p.separate(s, i-1)
			}
			continue
		}
		start := len(p.buf)
		if c == '$' {
			start--
			i++
		}
		i += p.addPlain(s[i:])
	word:
		for i < len(s) && len(p.buf)-start < 48 {
			c := s[i]
			if lower := lowerWord[c]; lower != 0 {
				p.buf = append(p.buf, lower)
				i++
				continue
			}
			switch {
			case strings.HasPrefix(s[i:], "\u2019"): // an apostrophe
				i += len("\u2019")
			case strings.HasPrefix(s[i:], "\u2014"): // a dash
				break word
			case c >= 0x80:
				p.foreign = true
				p.buf = append(p.buf, c)
				i++
			case c == '\'':
				i++
			case (c == '.' || c == ',') && i > 0 && i+1 < len(s) && isDigit(s[i-1]) && isDigit(s[i+1]):
				if c == '.' {
					p.buf = append(p.buf, c)
				}
				i++
			default:
				break word
			}
		}
		if len(p.buf) > start {
			p.end(start)
		} else {
			i++
		}
	}
}

// separate notes what the mark at s[i] says about the words around it.
func (p *prose) separate(s string, i int) {
	apart := i+1 == len(s) || s[i+1] <= ' '
	switch s[i] {
	case '.':
		if apart && !p.endsShort() {
			p.stop(false)
		}
	case '!', '?', ';', '\n':
		p.stop(false)
	case ',', ':', '-':
		if apart {
			p.stop(true)
		}
	case '(', ')':
		p.stop(true)
	case '\'', '"', '`':
		n := i + 1
		for n < len(s) && lowerWord[s[n]] != 0 {
			n++
		}
		if n > i+1 && n < len(s) && s[n] == s[i] && (i == 0 || !isWordByte(s[i-1])) {
			p.quoted = append(p.quoted, int16(len(p.words)))
		}
	}
}

// endsShort reports whether the last word is one that is written with a dot: vs., e.g., max.
func (p *prose) endsShort() bool {
	if len(p.words) == 0 {
		return true
	}
	switch w := p.word(len(p.words) - 1); string(w) {
	case "vs", "max", "min", "approx", "etc", "no", "req", "sec":
		return true
	default:
		return len(w) == 1 && isLetter(w[0])
	}
}

// maxSentence bounds how many words of a sentence are looked at from any of them.
const maxSentence = 48

// settle decides which sentences and clauses make offers; clauses that make none belong to their sentence.
func (p *prose) settle() {
	if p.settled {
		return
	}
	p.settled = true
	end := len(p.words) // of the sentence
	for i := len(p.stops) - 1; i >= 0; i-- {
		st := &p.stops[i]
		st.offer = p.isOffer(int(st.at), min(end, int(st.at)+maxSentence))
		if !st.soft {
			end = int(st.at)
		}
	}
	kept, offers, plain := p.stops[:0], 0, 0
	for i, st := range p.stops {
		switch {
		case st.soft && !st.offer:
			continue
		case int(st.at) == len(p.words) || i+1 < len(p.stops) && p.stops[i+1].at == st.at:
		case st.offer:
			offers++
		default:
			plain++
		}
		kept = append(kept, st)
	}
	p.stops = kept
	if offers == 0 || plain > 0 {
		return
	}
	for i := range p.stops {
		p.stops[i].offer = false // nothing else is said
	}
}

// isOffer reports whether the words from first on, up to but not including end, offer more than was refused, or point to where more is read: "upgrade to
// get higher limits", "for daily quotas see", "need more tokens?". What must be done to go on at all is no offer.
func (p *prose) isOffer(first, end int) bool {
	i := first
	for i < end && i < first+5 && isLead(p.word(i)) {
		i++
	}
	if i >= end {
		return false
	}
	begins := p.vocab.limits[p.ids[i]]&offers != 0
	aim := false
	if !begins {
		switch string(p.word(i)) {
		case "to", "for", "if", "when":
			aim = true // and the offer follows
		case "paid", "pro", "premium", "enterprise", "subscribers", "higher", "larger", "with", "on":
			begins = true
		default:
			return false
		}
	}
	more := false
	for k := i; k < end; k++ {
		use := p.vocab.limits[p.ids[k]]
		more = more || use&offersMore != 0
		if aim && k > i && use&offers != 0 {
			begins = true
		}
		switch string(p.word(k)) {
		case "continue", "proceed", "resume", "keep", "restore", "reactivate", "restored", "resumed", "reached", "exceeded", "exhausted", "first", "required":
			return false
		}
	}
	return begins && more
}

// isLead reports whether w may stand before the verb of an offer.
func isLead(w []byte) bool {
	switch string(w) {
	case "please", "kindly", "or", "and", "also", "then", "alternatively", "otherwise", "you", "can", "may", "could", "simply", "just", "our":
		return true
	}
	return false
}

// addPlain adds the letters, digits and underscores at the beginning of s to the word under way, and returns how many.
func (p *prose) addPlain(s string) int {
	n := 0
	for n < len(s) && n < 48 && lowerWord[s[n]] != 0 {
		n++
	}
	start := len(p.buf)
	p.buf = p.buf[:start+n]
	word := p.buf[start:]
	for i := range word {
		word[i] = lowerWord[s[i]]
	}
	return n
}

// addName cuts a machine word into its parts: invalid_jwt, channel-not-found, BadUserInput.
func (p *prose) addName(name string) {
	var b strings.Builder
	for i := 0; i < len(name) && i < 128; i++ {
		switch c := name[i]; {
		case c == '_', c == '-', c == '.', c == ':':
			b.WriteByte(' ')
		case c >= 'A' && c <= 'Z' && i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z':
			b.WriteByte(' ')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	p.add(b.String())
}

// setAside spoils words that look like money and are none: the budget of something else, and credits that were not taken; and
// policies that are not about content.
func (p *prose) setAside() {
	other := false // the budget is one of something else, and stays so
	for i, id := range p.ids {
		if !p.vocab.aside[id] {
			continue
		}
		switch string(p.word(i)) {
		case "budget", "budgets":
			if other = other || i > 0 && isOtherBudget(p.word(i-1)); other {
				p.spoil(i)
			}
		case "rate":
			if i > 0 && isOtherRate(p.word(i-1)) {
				p.spoil(i)
			}
		case "billing":
			if i+1 < len(p.words) && isSpan(p.word(i+1)) {
				p.spoil(i)
			}
		case "policy", "policies":
			if i > 0 && isOtherPolicy(p.word(i-1)) {
				p.spoil(i)
			}
		case "credit", "credits", "charge", "balance":
			if i > 0 && (string(p.word(i-1)) == "no" || string(p.word(i-1)) == "any") && p.takenAfter(i) {
				p.spoil(i)
			}
		}
	}
}

// isSpan reports whether billing is but what a time is named by: the billing cycle.
func isSpan(w []byte) bool {
	switch string(w) {
	case "cycle", "cycles", "period", "periods", "month", "day", "hour", "window":
		return true
	}
	return false
}

// isOtherRate reports whether a rate of that name is not one of requests.
func isOtherRate(w []byte) bool {
	switch string(w) {
	case "frame", "sample", "sampling", "bit", "baud", "learning", "dropout", "exchange", "tax", "interest", "conversion", "refresh", "speech", "speaking", "heart":
		return true
	}
	return false
}

func isOtherBudget(w []byte) bool {
	switch string(w) {
	case "complexity", "token", "tokens", "max_tokens", "thinking", "reasoning", "retry", "retries", "error", "cpu", "time", "timeout", "request", "requests", "query",
		"cost", "compute", "memory", "latency", "context", "operation", "crawl":
		return true
	}
	return false
}

// isOtherPolicy reports whether a policy of that name is about access or operation, not about content.
func isOtherPolicy(w []byte) bool {
	switch string(w) {
	case "security", "iam", "bucket", "resource", "retention", "password", "cors", "network", "access", "identity", "based", "lifecycle", "rbac",
		"admission", "control", "endpoint", "retry", "scaling":
		return true
	}
	return false
}

// takenAfter reports whether the words behind i say that something was taken.
func (p *prose) takenAfter(i int) bool {
	for k := i + 1; k < len(p.words) && k <= i+3; k++ {
		switch string(p.word(k)) {
		case "charged", "deducted", "consumed", "used", "billed", "spent", "taken":
			return true
		}
	}
	return false
}

// linkLen returns the length of the link at the beginning of s, 0 for none.
func linkLen(s string) int {
	if !hasPrefixFold(s, "http://") && !hasPrefixFold(s, "https://") {
		return 0
	}
	n := 0
	for n < len(s) && s[n] > ' ' && s[n] != '"' && s[n] != ')' && s[n] != '>' && s[n] < 0x7f {
		n++
	}
	return n
}

// fitsAt reports whether the elements of a phrase fit the words from i on.
func (p *prose) fitsAt(elements []int16, i int) bool {
	for k, e := range elements {
		if e < 0 {
			for skip := 0; skip <= int(-e); skip++ {
				if p.fitsAt(elements[k+1:], i+skip) {
					return true
				}
			}
			return false
		}
		if i >= len(p.ids) || p.ids[i] == 0 || !slices.Contains(p.vocab.elements[e], p.ids[i]) {
			return false
		}
		i++
	}
	return true
}

// possible reports whether the text has a word for each element.
func (p *prose) possible(elements []int16) bool {
	for _, e := range elements {
		if e >= 0 && p.marked[e/64]&(1<<(e%64)) == 0 {
			return false
		}
	}
	return true
}

// survey notes where each word stands that the vocabulary knows, and which elements they fit.
func (p *prose) survey() {
	p.next = append(p.next[:0], make([]int16, len(p.ids))...)
	for i := len(p.ids) - 1; i >= 0; i-- {
		id := p.ids[i]
		if id == 0 {
			continue
		}
		if p.head[id] == 0 {
			p.seen = append(p.seen, id)
			for _, e := range p.vocab.fits[id] {
				p.marked[e/64] |= 1 << (e % 64)
			}
		}
		p.next[i] = p.head[id]
		p.head[id] = int16(i + 1)
	}
}

// forget undoes survey.
func (p *prose) forget() {
	for _, id := range p.seen {
		p.head[id] = 0
	}
	clear(p.marked)
	p.seen = p.seen[:0]
}

// judge returns the first rule that holds for the group and finds a phrase, -1 for none. In a complaint about a request, a word in quotes is a
// name or a value: no state that passes. And a model that is away for a while is not gone.
func (p *prose) judge(group statuses) int {
	i := p.find(group, 0)
	switch {
	case i < 0:
		return i
	case group == on400 && len(p.quoted) > 0 && retryFor(proseRules[i].class, 400) != errcodes.RetryNever:
		for _, at := range p.quoted {
			if int(at) < len(p.words) {
				p.spoil(int(at))
			}
		}
		return p.find(group, 0)
	case p.passes(i, group):
		if later := p.find(group, i+1); later >= 0 && retryFor(proseRules[later].class, 500) == errcodes.RetryBackoff {
			return later
		}
	}
	return i
}

// renewsSoon reports whether the text asks to come back later, and names nothing that would have to change until then.
func (p *prose) renewsSoon() bool {
	later := false
	for i := range p.words {
		switch string(p.word(i)) {
		case "later", "soon", "shortly", "moment", "while":
			for k := max(0, i-4); k < i; k++ {
				switch string(p.word(k)) {
				case "again", "retry", "back":
					later = true
				}
			}
		case "plan", "free", "trial", "tier", "subscription", "billing", "account", "upgrade", "purchase", "balance", "credits", "month", "day", "week", "daily", "monthly", "weekly":
			return false
		}
	}
	return later
}

// passes reports whether the text says that what rule i is about is away for a while, and not gone, refused or wrong: a model that is temporarily not
// available; behind a server's failure also the system that checks content or keys.
func (p *prose) passes(i int, group statuses) bool {
	server := group&(on500|on503) != 0
	switch proseRules[i].class {
	case errcodes.ClassNotFound:
	case errcodes.ClassContentPolicy, errcodes.ClassAuthentication, errcodes.ClassPermission:
		if !server {
			return false
		}
	default:
		return false
	}
	for k := range p.words {
		switch string(p.word(k)) {
		case "temporarily", "temporary", "momentarily", "briefly", "shortly", "soon", "currently", "moment", "now", "maintenance", "again", "retry", "loading", "starting":
			return true
		case "unavailable", "unreachable", "down", "overloaded", "busy", "timeout", "timed":
			if server {
				return true
			}
		}
	}
	return false
}

// judgeRefusal is judge, but that an offer to pay does not make a rate limit a matter of money: "too many requests; buy credits to get higher limits".
func (p *prose) judgeRefusal(group statuses, l *limits) int {
	i := p.judge(group)
	if i < 0 || !ofMoney(proseRules[i].class) {
		return i
	}
	p.settle()
	found := false
	for k, s := range p.stops {
		if !s.offer {
			continue
		}
		found = true
		end := len(p.words)
		if k+1 < len(p.stops) {
			end = int(p.stops[k+1].at)
		}
		for at := int(s.at); at < end; at++ {
			p.spoil(at)
		}
	}
	if !found {
		return i
	}
	rest := p.judge(group)
	switch {
	case rest >= 0 && !ofMoney(proseRules[rest].class) && retryFor(proseRules[rest].class, 429) != errcodes.RetryNever:
		return rest
	case rest < 0 && group == on429 && l.minutely && l.period != periodDay:
		return rest
	}
	return i
}

// find returns the first rule from the given one on that holds for the group and finds a phrase, -1 for none.
func (p *prose) find(group statuses, from int) int {
	p.setAside()
	p.survey()
	best := len(proseRules)
	for _, id := range p.seen {
		starts := p.vocab.starts[id]
		for k := range starts {
			ph := &starts[k]
			if ph.rule >= best {
				break // they are in the order of the rules
			}
			if ph.rule < from || proseRules[ph.rule].on&group == 0 || !p.possible(ph.elements) {
				continue
			}
			for at := p.head[id]; at > 0; at = p.next[at-1] {
				if p.fitsAt(ph.elements, int(at-1)) {
					best = ph.rule
					break
				}
			}
		}
	}
	p.forget()
	if p.foreign {
		text := string(p.buf)
		for i := range proseRules[:best] {
			r := &proseRules[i]
			if i >= from && r.on&group != 0 && slices.ContainsFunc(r.cjk, func(w string) bool { return strings.Contains(text, w) }) {
				return i
			}
		}
	}
	if best == len(proseRules) {
		return -1
	}
	return best
}

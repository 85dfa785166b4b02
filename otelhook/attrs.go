package otelhook

import (
	"runtime/debug"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"github.com/errwire/errwire/classify"
)

// scope is the instrumentation scope of everything that this package emits.
const scope = "github.com/errwire/errwire/otelhook"

// Attributes. docs/tracing.md says what each means and on what it stands.
const (
	keyOperation   = attribute.Key("errwire.operation")
	keyCategory    = attribute.Key("errwire.category")
	keyCode        = attribute.Key("errwire.error.code")
	keyCondition   = attribute.Key("errwire.error.condition")
	keyRule        = attribute.Key("errwire.rule")
	keyMaxAttempts = attribute.Key("errwire.retry.max_attempts")
	keyAttempts    = attribute.Key("errwire.retry.attempts")
	keyAttempt     = attribute.Key("errwire.retry.attempt")
	keyWaitTotal   = attribute.Key("errwire.retry.wait_total")
	keyQueueTotal  = attribute.Key("errwire.retry.queue_total")
	keyOutcome     = attribute.Key("errwire.retry.outcome")
	keyReason      = attribute.Key("errwire.retry.give_up.reason")
	// Not errwire.retry.delay, which would be an attribute and the namespace of another: some stores cannot hold both.
	keyDelay       = attribute.Key("errwire.retry.delay.duration")
	keyDelaySource = attribute.Key("errwire.retry.delay.source")
	keyAnswer      = attribute.Key("errwire.answer")
)

// Events of the span around the attempts.
const (
	eventWait      = "errwire.retry.wait"
	eventGiveUp    = "errwire.retry.give_up"
	eventException = "exception"
)

// Values of errwire.retry.outcome.
const (
	outcomeSuccess   = "success"
	outcomeGiveUp    = "give_up"
	outcomeCancelled = "cancelled"
)

// errorTypePanic is the value of error.type, and the reason to give up, of what did not return.
const errorTypePanic = "panic"

// Values of errwire.retry.delay.source.
const (
	delayBackoff    = "backoff"
	delayRetryAfter = "retry_after"
	delayServerHint = "server_hint"
	delayNone       = "none"
)

// delaySource folds where a wait was read into a set small enough for metrics.
func delaySource(s classify.Source) string {
	switch s {
	case classify.SourceNone:
		return delayNone
	case classify.SourceBackoff:
		return delayBackoff
	case classify.SourceRetryAfter, classify.SourceRetryAfterMs:
		return delayRetryAfter
	default:
		return delayServerHint
	}
}

// maxText bounds a text that somebody else wrote, in bytes.
const maxText = 256

// bounded returns s as valid UTF-8, cut to maxText bytes.
func bounded(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// version returns the version of this module in the running program, "" where the build does not say.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const module = "github.com/errwire/errwire"
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version != "(devel)" {
			return m.Version
		}
	}
	return ""
})

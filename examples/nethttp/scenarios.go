package main

import (
	"net/http"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// scenario is one request that runs into one documented condition.
type scenario struct {
	condition errcodes.Code
	note      string // what is special, for the table; "" for nothing

	method, path, key string
	contentType, body string

	// attempts is how many requests the server gets to see.
	attempts int
	// recovers says that the last attempt succeeds.
	recovers bool
	// stop is why the client gives up when it does not.
	stop classify.Stop
	// mutate and keyed set up the client: see classify.Transport.
	mutate func(*http.Request, classify.Decision) (*http.Request, error)
	keyed  bool
}

const (
	asJSON  = "application/json"
	chat    = "/v1/chat/completions"
	runs    = "/api/v1/runs"
	goodKey = "sk-test-good"
)

// runInfra drives every error that RunInfra documents.
func runInfra() []scenario {
	return []scenario{
		chatCase(errcodes.InvalidRequest, goodKey, `{"model":"test/ok","messages":[{"role":"user","content":"Hi"}],"max_tokens":5,"max_completion_tokens":5}`),
		chatCase(errcodes.InvalidJSON, goodKey, `{"model":"test/ok",`),
		chatCase(errcodes.MissingModel, goodKey, `{"messages":[{"role":"user","content":"Hi"}]}`),
		chatCase(errcodes.MissingInput, goodKey, `{"model":"test/ok"}`),
		chatCase(errcodes.InvalidInput, goodKey, `{"model":"test/ok","messages":[{"role":"robot","content":"Hi"}]}`),
		with(chatCase(errcodes.UnsupportedMediaType, goodKey, ask("test/ok")), func(s *scenario) { s.contentType = "text/plain" }),
		chatCase(errcodes.MissingAPIKey, "", ask("test/ok")),
		chatCase(errcodes.InvalidAPIKey, "sk-test-unknown", ask("test/ok")),
		chatCase(errcodes.PipelineScopeMismatch, "sk-test-wrong-scope", ask("test/ok")),
		chatCase(errcodes.PlanLimitExceeded, "sk-test-plan-limit", ask("test/ok")),
		chatCase(errcodes.FeatureNotInPlan, "sk-test-no-feature", ask("test/ok")),
		with(chatCase(errcodes.PipelineNotFound, goodKey, ask("test/ok")), func(s *scenario) { s.path = "/v1/pipe_9/chat/completions" }),
		chatCase(errcodes.ModelNotFound, goodKey, ask("test/none")),
		with(chatCase(errcodes.RateLimited, "sk-test-busy", ask("test/ok")), recovers(3)),
		with(chatCase(errcodes.Internal, goodKey, ask("test/error-500")), func(s *scenario) { s.attempts, s.stop = 2, classify.StopClass }),
		with(chatCase(errcodes.Unavailable, goodKey, ask("test/flaky-503")), recovers(3)),
		with(chatCase(errcodes.Timeout, goodKey, ask("test/slow")), func(s *scenario) { s.stop = classify.StopUnchanged }),
		with(chatCase(errcodes.Timeout, goodKey, ask("test/slow")), recovers(2), func(s *scenario) {
			s.note, s.mutate = "max_tokens lowered", classify.LowerMaxTokens(16)
		}),
	}
}

// runbase drives every error that Runbase documents.
func runbase() []scenario {
	return []scenario{
		runCase(errcodes.InvalidJSON, goodKey, `{"model":"test/image","input":{"prompt":"a cat}`),
		runCase(errcodes.MissingModel, goodKey, `{"model":7,"input":{"prompt":"a cat"}}`),
		runCase(errcodes.MissingInput, goodKey, `{"model":"test/image","input":"a cat"}`),
		runCase(errcodes.InvalidInput, goodKey, `{"model":"test/image","input":{"prompt":7}}`),
		runCase(errcodes.ModelNotFound, goodKey, paint("test/none")),
		runCase(errcodes.MissingAPIKey, "", paint("test/image")),
		runCase(errcodes.InvalidAPIKey, "sk-test-unknown", paint("test/image")),
		runCase(errcodes.InsufficientBalance, "sk-test-no-balance", paint("test/image")),
		runCase(errcodes.APIKeySpendLimitExceeded, "sk-test-spend-limit", paint("test/image")),
		runCase(errcodes.IPNotAllowed, "sk-test-ip-blocked", paint("test/image")),
		with(runCase(errcodes.RunNotFound, goodKey, ""), func(s *scenario) { s.method, s.path = http.MethodGet, runs+"/run_9" }),
		with(runCase(errcodes.RateLimited, "sk-test-busy", paint("test/image")), recovers(3)),
		runCase(errcodes.UsageExceeded, "sk-test-usage-exceeded", paint("test/image")),
		with(runCase(errcodes.Internal, goodKey, paint("test/error-500")), func(s *scenario) { s.stop = classify.StopUnsafe }),
		with(runCase(errcodes.Internal, goodKey, paint("test/error-500")), func(s *scenario) {
			s.note, s.keyed, s.attempts, s.stop = "idempotency key", true, 2, classify.StopClass
		}),
	}
}

func chatCase(c errcodes.Code, key, body string) scenario {
	return scenario{
		condition: c, method: http.MethodPost, path: chat, key: key, contentType: asJSON, body: body,
		attempts: 1, stop: classify.StopNever,
	}
}

func runCase(c errcodes.Code, key, body string) scenario {
	s := chatCase(c, key, body)
	s.path = runs
	return s
}

func ask(model string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"Hi"}],"max_tokens":512}`
}

func paint(model string) string {
	return `{"model":"` + model + `","input":{"prompt":"a cat"}}`
}

func with(s scenario, changes ...func(*scenario)) scenario {
	for _, change := range changes {
		change(&s)
	}
	return s
}

func recovers(attempts int) func(*scenario) {
	return func(s *scenario) { s.attempts, s.recovers, s.stop = attempts, true, classify.StopNone }
}

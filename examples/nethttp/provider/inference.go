package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// What the models say. Short, so that the answer to every request is the same.
var words = []string{"Hello", " from", " errwire."}

// chatRequest is what POST /v1/chat/completions and POST /v1/messages read of the body, but for the model, which is the one that RequireJSON saw.
type chatRequest struct {
	Messages            []chatMessage `json:"messages"              validate:"min=1,dive"`
	MaxTokens           *int          `json:"max_tokens"            validate:"omitempty,min=1"`
	MaxCompletionTokens *int          `json:"max_completion_tokens" validate:"omitempty,min=1"`
	Stream              bool          `json:"stream"`
}

type chatMessage struct {
	Role    string           `json:"role"    validate:"oneof=system developer user assistant tool"`
	Content *json.RawMessage `json:"content" validate:"required"`
}

// order returns what the models look at.
func (c *chatRequest) order(model string) (order, error) {
	o := order{model: model, stream: c.Stream}
	switch {
	case c.MaxTokens != nil && c.MaxCompletionTokens != nil:
		return o, &errcodes.Error{
			Code:    errcodes.InvalidRequest,
			Message: "The fields max_tokens and max_completion_tokens must not be given together.",
		}
	case c.MaxTokens != nil:
		o.maxTokens = *c.MaxTokens
	case c.MaxCompletionTokens != nil:
		o.maxTokens = *c.MaxCompletionTokens
	}
	return o, nil
}

// prepare reads a chat or messages request and makes every check up to the work itself.
func (p *Provider) prepare(r *http.Request, at endpoint) (order, *model, error) {
	c, err := middleware.Decode[chatRequest](r, nil)
	if err != nil {
		return order{}, nil, err
	}
	m, err := lookUp(middleware.ModelFrom(r.Context()), at)
	if err != nil {
		return order{}, nil, err
	}
	if id := r.PathValue("pipelineId"); id != "" && id != "pipe_1" {
		return order{}, nil, p.refuse(r, errcodes.PipelineNotFound, errcodes.NotFound)
	}
	o, err := c.order(m.id)
	if err != nil {
		return o, nil, err
	}
	return o, m, p.checkBalance(r)
}

// Chat serves POST /v1/chat/completions and, for a pipeline, POST /v1/{pipelineId}/chat/completions.
func (p *Provider) Chat(w http.ResponseWriter, r *http.Request) error {
	o, m, err := p.prepare(r, chat)
	if err != nil {
		return err
	}
	if o.stream {
		return p.streamChat(w, r, m, o)
	}
	if err := p.run(r, m, o); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"id": newID("chatcmpl_"), "object": "chat.completion", "created": time.Now().Unix(), "model": o.model,
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": "stop", "logprobs": nil,
			"message": map[string]any{"role": "assistant", "content": strings.Join(words, ""), "refusal": nil},
		}},
		"usage": map[string]any{"prompt_tokens": 8, "completion_tokens": len(words), "total_tokens": 8 + len(words)},
	})
}

// Messages serves POST /v1/messages.
func (p *Provider) Messages(w http.ResponseWriter, r *http.Request) error {
	o, m, err := p.prepare(r, messages)
	if err != nil {
		return err
	}
	if o.stream {
		return p.streamMessages(w, r, m, o)
	}
	if err := p.run(r, m, o); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, message(newID("msg_"), o.model, strings.Join(words, ""), "end_turn", len(words)))
}

// message is an answer of the messages endpoint; an empty text gives the one that a stream begins with.
func message(id, model, text, stopReason string, tokens int) map[string]any {
	content, stop := []any{}, any(nil)
	if text != "" {
		content, stop = append(content, map[string]any{"type": "text", "text": text}), stopReason
	}
	return map[string]any{
		"id": id, "type": "message", "role": "assistant", "model": model,
		"content": content, "stop_reason": stop, "stop_sequence": nil,
		"usage": map[string]any{"input_tokens": 8, "output_tokens": tokens},
	}
}

// Models serves GET /v1/models.
func (p *Provider) Models(w http.ResponseWriter, _ *http.Request) error {
	list := make([]any, 0, len(models))
	for i := range models {
		list = append(list, map[string]any{"id": models[i].id, "object": "model", "created": 1763683200, "owned_by": "errwire"})
	}
	return writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// Healthz serves GET /healthz.
func (p *Provider) Healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
}

// writeJSON writes v on one line.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The status is out, so a caller who is gone is nobody's error.
	_, _ = w.Write(body)
	return nil
}

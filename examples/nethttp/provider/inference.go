package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// What the models say. Short, so that the answer to every request is the same.
var words = []string{"Hello", " from", " errwire."}

// chatRequest is what POST /v1/chat/completions and POST /v1/messages read of the body.
type chatRequest struct {
	Model               string        `json:"model"`
	Messages            []chatMessage `json:"messages"`
	MaxTokens           *int          `json:"max_tokens"`
	MaxCompletionTokens *int          `json:"max_completion_tokens"`
	Stream              bool          `json:"stream"`
}

type chatMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// decodeBody reads the JSON body that RequireJSON let pass into v.
func decodeBody(r *http.Request, v any) error {
	err := json.NewDecoder(r.Body).Decode(v)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind):
		return &errcodes.Error{
			Code: errcodes.InvalidInput, Param: kind.Field, Err: err,
			Message: fmt.Sprintf("The field %s has a value of the wrong kind.", kind.Field),
		}
	default:
		return &errcodes.Error{Code: errcodes.InvalidJSON, Err: err}
	}
}

// order checks the request and returns what the models look at.
func (c *chatRequest) order() (order, error) {
	o := order{model: c.Model, stream: c.Stream}
	if len(c.Messages) == 0 {
		return o, invalid("messages", "The messages must not be empty.")
	}
	for i, m := range c.Messages {
		field := fmt.Sprintf("messages[%d]", i)
		switch m.Role {
		case "system", "developer", "user", "assistant", "tool":
		default:
			return o, invalid(field+".role", "The role of a message must be system, developer, user, assistant or tool.")
		}
		if len(m.Content) == 0 || string(m.Content) == "null" {
			return o, invalid(field+".content", "A message must have content.")
		}
	}
	if c.MaxTokens != nil && c.MaxCompletionTokens != nil {
		return o, &errcodes.Error{
			Code:    errcodes.InvalidRequest,
			Message: "The fields max_tokens and max_completion_tokens must not be given together.",
		}
	}
	for field, n := range map[string]*int{"max_tokens": c.MaxTokens, "max_completion_tokens": c.MaxCompletionTokens} {
		if n == nil {
			continue
		}
		if *n < 1 {
			return o, invalid(field, "The number of tokens must be at least 1.")
		}
		o.maxTokens = *n
	}
	return o, nil
}

func invalid(param, message string) error {
	return &errcodes.Error{Code: errcodes.InvalidInput, Param: param, Message: message}
}

// prepare reads a chat or messages request and makes every check up to the work itself.
func (p *Provider) prepare(r *http.Request, at endpoint) (order, *model, error) {
	var c chatRequest
	if err := decodeBody(r, &c); err != nil {
		return order{}, nil, err
	}
	// encoding/json folds the case of keys, so the model is the one that RequireJSON saw.
	c.Model = middleware.ModelFrom(r.Context())
	m, err := lookUp(c.Model, at)
	if err != nil {
		return order{}, nil, err
	}
	o, err := c.order()
	if err != nil {
		return o, nil, err
	}
	if err := p.checkBalance(r); err != nil {
		return o, nil, err
	}
	return o, m, nil
}

// Chat serves POST /v1/chat/completions and, for a pipeline, POST /v1/{pipelineId}/chat/completions.
func (p *Provider) Chat(w http.ResponseWriter, r *http.Request) error {
	o, m, err := p.prepare(r, chat)
	if err != nil {
		return err
	}
	if id := r.PathValue("pipelineId"); id != "" && id != "pipe_1" {
		return p.refuse(r, errcodes.PipelineNotFound, errcodes.NotFound)
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

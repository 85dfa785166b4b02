package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// What the models say. Short, so that the answer to every request is the same.
var words = []string{"Hello", " from", " errwire."}

// chatRequest is what POST /v1/chat/completions and POST /v1/messages read of the body.
type chatRequest struct {
	Messages            []map[string]json.RawMessage
	MaxTokens           *int
	MaxCompletionTokens *int
	Stream              bool
}

func (c *chatRequest) decode(r *http.Request) error {
	return decodeBody(r, map[string]any{
		"messages": &c.Messages, "max_tokens": &c.MaxTokens,
		"max_completion_tokens": &c.MaxCompletionTokens, "stream": &c.Stream,
	})
}

// decodeBody reads the JSON object that RequireJSON let pass into the fields, by exact name: a struct would take "Model" for
// "model", and then a check that stands before would have looked at another value than the handler. A member that is absent
// leaves its field alone.
func decodeBody(r *http.Request, fields map[string]any) error {
	var members map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&members); err != nil {
		return &errcodes.Error{Code: errcodes.InvalidJSON, Err: err}
	}
	return decodeMembers("", members, fields)
}

// decodeMembers fills the fields from members; path is where they stand, with a dot at the end.
func decodeMembers(path string, members map[string]json.RawMessage, fields map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw, ok := members[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, fields[name]); err != nil {
			return &errcodes.Error{
				Code: errcodes.InvalidInput, Param: path + name, Err: err,
				Message: fmt.Sprintf("The field %s has a value of the wrong kind.", path+name),
			}
		}
	}
	return nil
}

// order checks the request and returns what the models look at.
func (c *chatRequest) order(model string) (order, error) {
	o := order{model: model, stream: c.Stream}
	if len(c.Messages) == 0 {
		return o, invalid("messages", "The messages must not be empty.")
	}
	for i, m := range c.Messages {
		field := fmt.Sprintf("messages[%d]", i)
		var role string
		_ = json.Unmarshal(m["role"], &role) // a role of another kind is none of these
		switch role {
		case "system", "developer", "user", "assistant", "tool":
		default:
			return o, invalid(field+".role", "The role of a message must be system, developer, user, assistant or tool.")
		}
		if content := m["content"]; len(content) == 0 || string(content) == "null" {
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
	if err := c.decode(r); err != nil {
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

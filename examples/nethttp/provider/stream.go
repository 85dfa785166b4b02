package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/errwire/errwire/middleware"
)

// streamChat answers with chat.completion.chunk events. What fails before the first of them is an ordinary error.
func (p *Provider) streamChat(w http.ResponseWriter, r *http.Request, m *model, o order) error {
	if err := p.run(r, m, o); err != nil {
		return err
	}
	s := p.Errors.Stream(w, r, middleware.Chat)
	id, created := newID("chatcmpl_"), time.Now().Unix()
	chunk := func(delta map[string]any, finish any) error {
		return send(s, "", map[string]any{
			"id": id, "object": "chat.completion.chunk", "created": created, "model": o.model,
			"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}},
		})
	}
	for i, word := range words {
		delta := map[string]any{"content": word}
		if i == 0 {
			delta["role"] = "assistant"
		}
		if err := chunk(delta, nil); err != nil {
			return err
		}
	}
	if err := p.breakStream(r, m); err != nil {
		return err
	}
	if err := chunk(map[string]any{}, "stop"); err != nil {
		return err
	}
	return s.Done()
}

// streamMessages answers with the events of the messages endpoint.
func (p *Provider) streamMessages(w http.ResponseWriter, r *http.Request, m *model, o order) error {
	if err := p.run(r, m, o); err != nil {
		return err
	}
	s := p.Errors.Stream(w, r, middleware.Messages)
	type event map[string]any
	events := []event{
		{"type": "message_start", "message": message(newID("msg_"), o.model, "", "", 1)},
		{"type": "content_block_start", "index": 0, "content_block": event{"type": "text", "text": ""}},
	}
	for _, word := range words {
		events = append(events, event{"type": "content_block_delta", "index": 0, "delta": event{"type": "text_delta", "text": word}})
	}
	sendAll := func(events []event) error {
		for _, e := range events {
			if err := send(s, fmt.Sprint(e["type"]), e); err != nil {
				return err
			}
		}
		return nil
	}
	if err := sendAll(events); err != nil {
		return err
	}
	if err := p.breakStream(r, m); err != nil {
		return err
	}
	err := sendAll([]event{
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": event{"stop_reason": "end_turn", "stop_sequence": nil}, "usage": event{"output_tokens": len(words)}},
	})
	if err != nil {
		return err
	}
	return s.Done()
}

// send writes v as one event.
func send(s *middleware.Stream, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	return s.SendEvent(name, data)
}

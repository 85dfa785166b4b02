package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	goopenai "github.com/sashabaranov/go-openai"
)

// callLimit bounds one call; the server answers within milliseconds.
const callLimit = 20 * time.Second

// sendGo makes the calls with a client written in Go. call returns a success, or what the client surfaced of an error; an error
// that the client cannot read as one of the API is returned as it is.
func sendGo(send func(context.Context, *http.Client, call) (outcome, error)) func(*testing.T, []call) []outcome {
	return func(t *testing.T, calls []call) []outcome {
		t.Helper()
		network := &http.Transport{} // no proxy, whatever the environment says
		t.Cleanup(network.CloseIdleConnections)
		outcomes := make([]outcome, 0, len(calls))
		for _, c := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), callLimit)
			wire := &recorder{base: network, replace: c.Replace}
			got, err := send(ctx, &http.Client{Transport: wire}, c)
			cancel()
			if err != nil {
				got.Failure = fmt.Sprintf("%T: %v", err, err)
			}
			got.Name, got.Wire = c.Name, wire.seen
			outcomes = append(outcomes, got)
		}
		return outcomes
	}
}

// recorder is the transport under a client: it replaces what the case asks for and keeps what comes back.
type recorder struct {
	base    http.RoundTripper
	replace replace
	seen    []exchange
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if !r.replace.empty() {
		req = r.replaced(req)
	}
	resp, err := r.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	ex := exchange{Status: resp.StatusCode, Header: make(map[string]string, len(resp.Header))}
	for name, values := range resp.Header {
		ex.Header[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if resp.StatusCode >= http.StatusBadRequest {
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		ex.Body = string(body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	r.seen = append(r.seen, ex)
	return resp, nil
}

func (r *recorder) replaced(req *http.Request) *http.Request {
	own := req
	req = req.Clone(req.Context())
	if r.replace.Method != "" {
		req.Method = r.replace.Method
	}
	if r.replace.Path != "" {
		req.URL.Path, req.URL.RawQuery = r.replace.Path, ""
	}
	if r.replace.Authorization != nil {
		req.Header.Del("X-Api-Key")
		req.Header.Del("Authorization")
		if *r.replace.Authorization != "" {
			req.Header.Set("Authorization", *r.replace.Authorization)
		}
	}
	if r.replace.MediaType != "" {
		req.Header.Set("Content-Type", r.replace.MediaType)
	}
	if body := r.replace.Body; body != nil || req.Method == http.MethodGet {
		if own.Body != nil {
			own.Body.Close()
		}
		req.ContentLength, req.Body, req.GetBody = int64(len(body)), http.NoBody, nil
		if body != nil {
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
	}
	return req
}

// openAIGo makes a call with github.com/openai/openai-go.
func openAIGo(ctx context.Context, hc *http.Client, c call) (outcome, error) {
	var resp *http.Response
	chat := openai.NewClient(
		openaioption.WithBaseURL(c.Base+c.Prefix), openaioption.WithAPIKey(c.Key), openaioption.WithHTTPClient(hc),
		openaioption.WithMaxRetries(0), openaioption.WithResponseInto(&resp),
	).Chat.Completions
	params := openai.ChatCompletionNewParams{
		Model:     c.Model,
		Messages:  []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
		MaxTokens: openai.Int(int64(c.MaxTokens)),
	}

	var got outcome
	var err error
	if c.Stream {
		stream := chat.NewStreaming(ctx, params)
		defer stream.Close()
		finished := false
		for stream.Next() {
			for _, choice := range stream.Current().Choices {
				got.Text += choice.Delta.Content
				finished = finished || choice.FinishReason != ""
			}
		}
		if err = stream.Err(); err == nil && !finished {
			return got, errors.New("the stream ended without a finish reason")
		}
	} else {
		var completion *openai.ChatCompletion
		if completion, err = chat.New(ctx, params); err == nil && len(completion.Choices) == 1 {
			got.Text = completion.Choices[0].Message.Content
		}
	}
	var refused *openai.Error
	switch {
	case errors.As(err, &refused):
		got.Error = &surfaced{
			Status: refused.StatusCode, Message: refused.Message, Type: refused.Type, Code: refused.Code, Param: refused.Param,
			RequestID: refused.Response.Header.Get("X-Request-Id"),
		}
	case err != nil:
		return got, err
	default:
		got.RequestID = resp.Header.Get("X-Request-Id")
	}
	return got, nil
}

// goOpenAI makes a call with github.com/sashabaranov/go-openai.
func goOpenAI(ctx context.Context, hc *http.Client, c call) (outcome, error) {
	config := goopenai.DefaultConfig(c.Key)
	config.BaseURL, config.HTTPClient = c.Base+c.Prefix, hc
	client := goopenai.NewClientWithConfig(config)
	request := goopenai.ChatCompletionRequest{
		Model:     c.Model,
		Messages:  []goopenai.ChatCompletionMessage{{Role: goopenai.ChatMessageRoleUser, Content: "Hello"}},
		MaxTokens: c.MaxTokens, //nolint:staticcheck // the name that the providers' pages use, deprecated by OpenAI alone
	}

	var got outcome
	var err error
	if c.Stream {
		got.Text, got.RequestID, err = goOpenAIStream(ctx, client, request)
	} else {
		var completion goopenai.ChatCompletionResponse
		if completion, err = client.CreateChatCompletion(ctx, request); err == nil && len(completion.Choices) == 1 {
			got.Text, got.RequestID = completion.Choices[0].Message.Content, completion.Header().Get("X-Request-Id")
		}
	}
	var refused *goopenai.APIError // not a RequestError: that one has lost message, type and code
	if !errors.As(err, &refused) {
		return got, err
	}
	got.Error = &surfaced{Status: refused.HTTPStatusCode, Message: refused.Message, Type: refused.Type}
	switch code := refused.Code.(type) {
	case nil:
	case string:
		got.Error.Code = code
	default:
		return got, fmt.Errorf("code is %T(%v): %w", code, code, err)
	}
	if refused.Param != nil {
		got.Error.Param = *refused.Param
	}
	return got, nil
}

func goOpenAIStream(ctx context.Context, client *goopenai.Client, request goopenai.ChatCompletionRequest) (text, id string, err error) {
	stream, err := client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		return "", "", err
	}
	defer stream.Close()
	finished := false
	for {
		event, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && finished:
			return text, stream.Header().Get("X-Request-Id"), nil
		case err != nil:
			return text, "", err
		}
		for _, choice := range event.Choices {
			text += choice.Delta.Content
			finished = finished || choice.FinishReason != ""
		}
	}
}

// anthropicGo makes a call with github.com/anthropics/anthropic-sdk-go. On the messages path it sends its key as X-Api-Key, as
// it does by default; elsewhere as a Bearer token, which is its other way.
func anthropicGo(ctx context.Context, hc *http.Client, c call) (outcome, error) {
	key := anthropicoption.WithAPIKey(c.Key)
	if c.Replace.Path != "" {
		key = anthropicoption.WithAuthToken(c.Key)
	}
	var resp *http.Response
	client := anthropic.NewClient(
		anthropicoption.WithoutEnvironmentDefaults(), anthropicoption.WithBaseURL(c.Base), anthropicoption.WithHTTPClient(hc), key,
		anthropicoption.WithMaxRetries(0), anthropicoption.WithResponseInto(&resp),
	)
	params := anthropic.MessageNewParams{
		Model:     c.Model,
		MaxTokens: int64(c.MaxTokens),
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
	}

	var message *anthropic.Message
	var err error
	if c.Stream {
		stream := client.Messages.NewStreaming(ctx, params)
		defer stream.Close()
		message = &anthropic.Message{}
		stopped := false
		for stream.Next() {
			event := stream.Current()
			if err := message.Accumulate(event); err != nil {
				return outcome{}, err
			}
			stopped = stopped || event.Type == "message_stop"
		}
		if err = stream.Err(); err == nil && !stopped {
			return outcome{}, errors.New("the stream ended without message_stop")
		}
	} else {
		message, err = client.Messages.New(ctx, params)
	}

	var got outcome
	var refused *anthropic.Error
	switch {
	case errors.As(err, &refused):
		var body struct {
			Error struct{ Message string }
		}
		if err := json.Unmarshal([]byte(refused.RawJSON()), &body); err != nil {
			return got, err
		}
		got.Error = &surfaced{
			Status: refused.StatusCode, Message: body.Error.Message, Type: string(refused.Type()), RequestID: refused.RequestID,
		}
	case err != nil:
		return got, err
	default:
		got.RequestID = resp.Header.Get("Request-Id")
		for _, block := range message.Content {
			got.Text += block.Text
		}
	}
	return got, nil
}

package interop

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// Streams that no Stream writes: by hand, and through a reverse proxy whose upstream breaks off. No client may take the half for the whole, whatever the registry
// speaks.
func TestHandWrittenStreams(t *testing.T) {
	const (
		messages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\"," +
			"\"content\":[],\"model\":\"x\",\"usage\":{}}}\n\n" +
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
			"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"half\"}}\n\n"
		chat      = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n"
		commented = ": keep-alive\n\n" + chat
	)
	byHand := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, s)
			_ = http.NewResponseController(w).Flush()
			panic("the engine is gone")
		}
	}
	proxied := func(t *testing.T, s string) http.Handler {
		t.Helper()
		behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, s)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))
		t.Cleanup(behind.Close)
		target, err := url.Parse(behind.URL)
		require.NoError(t, err)
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	}

	// Each client returns what ended the stream, nil for what it takes for a success.
	clients := map[string]struct {
		stream string
		call   func(t *testing.T, base string) error
	}{
		"anthropic-sdk-go": {messages, func(t *testing.T, base string) error {
			t.Helper()
			client := anthropic.NewClient(anthropicoption.WithoutEnvironmentDefaults(), anthropicoption.WithBaseURL(base),
				anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0))
			stream := client.Messages.NewStreaming(t.Context(), anthropic.MessageNewParams{
				Model: "x", MaxTokens: 5, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
			})
			for stream.Next() {
			}
			return stream.Err()
		}},
		"openai-go": {chat, func(t *testing.T, base string) error {
			t.Helper()
			client := openai.NewClient(openaioption.WithBaseURL(base+"/v1"), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0))
			stream := client.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{
				Model: "x", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
			})
			for stream.Next() {
			}
			return stream.Err()
		}},
		"go-openai":                  {chat, readGoOpenAI},
		"go-openai, after a comment": {commented, readGoOpenAI},
	}
	for _, reg := range []*errcodes.Registry{errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic()} {
		for name, c := range clients {
			for way, h := range map[string]http.Handler{"by hand": byHand(c.stream), "proxied": proxied(t, c.stream)} {
				t.Run(reg.Name()+" "+name+" "+way, func(t *testing.T) {
					ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(slog.DiscardHandler)}
					srv := httptest.NewUnstartedServer(ew.Wrap(h))
					srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
					srv.Start()
					defer srv.Close()
					err := c.call(t, srv.URL)
					if way == "by hand" && c.stream != commented {
						require.ErrorContains(t, err, "The server failed unexpectedly.")
					} else {
						require.ErrorIs(t, err, io.ErrUnexpectedEOF)
					}
				})
			}
		}
	}
}

func readGoOpenAI(t *testing.T, base string) error {
	t.Helper()
	config := goopenai.DefaultConfig("k")
	config.BaseURL = base + "/v1"
	stream, err := goopenai.NewClientWithConfig(config).CreateChatCompletionStream(t.Context(), goopenai.ChatCompletionRequest{
		Model: "x", Messages: []goopenai.ChatCompletionMessage{{Role: goopenai.ChatMessageRoleUser, Content: "Hello"}},
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

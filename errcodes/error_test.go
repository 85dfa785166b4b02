package errcodes_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  *errcodes.Error
		want string
	}{
		{&errcodes.Error{}, "internal"},
		{&errcodes.Error{Code: errcodes.MissingModel, Param: "model"}, `missing_model (param "model")`},
		{&errcodes.Error{Code: errcodes.Internal, Message: "It failed.", Err: io.ErrUnexpectedEOF}, "internal: It failed.: unexpected EOF"},
	}
	for _, tt := range tests {
		require.EqualError(t, tt.err, tt.want)
	}
}

func TestErrorIsAndAs(t *testing.T) {
	err := fmt.Errorf("load model: %w", &errcodes.Error{Code: errcodes.Unavailable, Err: io.EOF})
	require.ErrorIs(t, err, &errcodes.Error{Code: errcodes.Unavailable})
	require.NotErrorIs(t, err, &errcodes.Error{Code: errcodes.Internal})
	require.NotErrorIs(t, err, (*errcodes.Error)(nil))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, errcodes.Unavailable, errcodes.CodeOf(err))
}

// A nil *Error in an error is a mistake that happens; it must not bring a server down.
func TestNilErrorIsHarmless(t *testing.T) {
	var e *errcodes.Error
	var err error = e
	require.EqualError(t, err, "internal")
	require.NotErrorIs(t, err, io.EOF)
	require.ErrorIs(t, err, &errcodes.Error{Code: errcodes.Internal}, "nil and the zero value stand for Internal")
	require.ErrorIs(t, &errcodes.Error{}, &errcodes.Error{Code: errcodes.Internal})
	require.NotErrorIs(t, err, &errcodes.Error{Code: errcodes.Timeout})
}

func TestCodeOfIsTotal(t *testing.T) {
	var typedNil *errcodes.Error
	require.Empty(t, errcodes.CodeOf(nil))
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(io.EOF))
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(&errcodes.Error{}))
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(typedNil))
	require.Equal(t, errcodes.RateLimited, errcodes.CodeOf(errors.Join(io.EOF, &errcodes.Error{Code: errcodes.RateLimited})))
}

func TestErrorLogValue(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("refused", "err", &errcodes.Error{
		Code: errcodes.RateLimited, Message: "Slow down.", Param: "p", RetryAfter: time.Second, Err: io.EOF,
		Fields: []errcodes.FieldError{{Path: "a.b", Rule: "required"}},
	})
	require.Equal(t, "level=INFO msg=refused err.code=rate_limited err.param=p err.message=\"Slow down.\" err.retry_after=1s err.fields=\"[a.b required]\" err.cause=EOF\n", buf.String())
	buf.Reset()
	log.Info("refused", "err", &errcodes.Error{})
	require.Equal(t, "level=INFO msg=refused err.code=internal\n", buf.String())
	buf.Reset()
	var none *errcodes.Error
	log.Info("refused", "err", none)
	require.Equal(t, "level=INFO msg=refused err.code=internal\n", buf.String())
}

func TestEntryBody(t *testing.T) {
	e, _ := errcodes.OpenAI().Lookup(errcodes.ContextLengthExceeded)
	b := e.Body(nil, "req_1")
	require.Equal(t, "messages", b.Param)
	require.Equal(t, e.Message, b.Message)
	b = e.Body(&errcodes.Error{Message: "Too long.", Param: "messages[3]", RetryAfter: time.Second, Err: io.EOF}, "")
	require.Equal(t, errcodes.Body{
		Status: 400, Message: "Too long.", Type: "invalid_request_error", Code: "context_length_exceeded",
		Param: "messages[3]", RetryAfter: time.Second,
	}, b)
	e, _ = errcodes.OpenAI().Lookup(errcodes.RateLimited)
	require.Equal(t, time.Second, e.Body(&errcodes.Error{RetryAfter: -1}, "").RetryAfter)
}

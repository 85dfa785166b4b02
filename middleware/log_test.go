package middleware_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// What a registry does not declare nobody is told, so the log has all of it.
func TestUndeclaredCodeIsLoggedWhole(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(logs)}
	w := httptest.NewRecorder()
	ew.Handler(func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: "out_of_paper", Message: "Add paper.", Param: "tray", Err: errors.New("tray 2")}
	}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 500, w.Code)
	require.NotContains(t, w.Body.String(), "paper")
	require.Equal(t, "out_of_paper", logs.all()[0]["undeclared_code"])
	require.Equal(t, `out_of_paper (param "tray"): Add paper.: tray 2`, logs.all()[0]["cause"])
	require.NotContains(t, logs.all()[0], "param")
}

// The record names the field at fault as the answer does, also when the row and not the handler says which it is.
func TestTheRowsParamIsLogged(t *testing.T) {
	for want, param := range map[string]string{"model": "", "model.version": "model.version"} {
		logs := newRecords()
		ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(logs)}
		w := httptest.NewRecorder()
		ew.Handler(func(http.ResponseWriter, *http.Request) error {
			return &errcodes.Error{Code: errcodes.ModelNotFound, Param: param}
		}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Contains(t, w.Body.String(), `"param":"`+want+`"`)
		require.Equal(t, want, logs.all()[0]["param"])
	}
}

// textless is an error that panics when asked for its text, as one with a nil pointer in it does.
type textless struct{}

func (textless) Error() string { panic("no") }

// An error whose text cannot be had is still answered as what it is, and the record of it is there.
func TestErrorsWithoutTextAreLogged(t *testing.T) {
	broken := &errcodes.Error{Code: errcodes.InvalidInput, Fields: []errcodes.FieldError{{Path: "a", Message: "s3cret"}}, Err: textless{}}
	for _, c := range []struct {
		name  string
		err   error
		cause string
	}{
		{"bare", broken, "panicked"},
		{"joined", errors.Join(errors.New("read the order"), broken), "panicked"},
		{"wrapped", fmt.Errorf("read the order: %w", broken), "read the order: "}, // fmt takes the panic
	} {
		t.Run(c.name, func(t *testing.T) {
			logs := newRecords()
			w := httptest.NewRecorder()
			(&middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(logs)}).Handler(func(http.ResponseWriter, *http.Request) error {
				return c.err
			}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Equal(t, 400, w.Code)
			require.Len(t, logs.all(), 1)
			record := logs.all()[0]
			require.Equal(t, "invalid_input", record["code"])
			require.Contains(t, record["cause"], c.cause)
			require.NotContains(t, record["cause"], "s3cret")
		})
	}
}

package middleware_test

import (
	"bytes"
	"context"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/middleware"
)

// Who stands around Wrap sees the route that a mux inside of it chose, however the request ends.
func TestWrapHandsThePatternOut(t *testing.T) {
	ew := &middleware.ErrorWriter{Logger: slog.New(slog.DiscardHandler)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /runs/{id}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /panics/{id}", func(http.ResponseWriter, *http.Request) { panic("boom") })
	mux.HandleFunc("GET /aborts/{id}", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.Handle("GET /late/{id}", ew.Timeout(middleware.Timeout{FirstByte: time.Millisecond})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})))
	mux.Handle("/inner/", ew.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = "/inner/{rest}" })))
	other := &middleware.ErrorWriter{Logger: slog.New(slog.DiscardHandler)}
	mux.Handle("/other/", other.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = "/other/{rest}" })))
	for path, want := range map[string]string{
		"/runs/1": "GET /runs/{id}", "/panics/1": "GET /panics/{id}", "/aborts/1": "GET /aborts/{id}", "/late/1": "GET /late/{id}",
		"/inner/1": "/inner/{rest}", "/other/1": "/other/{rest}", "/nothing": "",
	} {
		t.Run(path, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			func() {
				defer func() {
					if value := recover(); value != nil {
						require.Equal(t, http.ErrAbortHandler, value)
					}
				}()
				ew.Wrap(mux).ServeHTTP(httptest.NewRecorder(), r)
			}()
			require.Equal(t, want, r.Pattern)
		})
	}
}

// A pattern that the outer mux set stays where nothing inside chooses another.
func TestWrapKeepsThePattern(t *testing.T) {
	ew := &middleware.ErrorWriter{Logger: slog.New(slog.DiscardHandler)}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Pattern = "GET /{$}"
	ew.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "GET /{$}", r.Pattern)
}

// A middleware that hands on a copy of the request hides nothing from those outside of it, such as the log of a panic.
func TestCopiesHandThePatternOut(t *testing.T) {
	ew := &middleware.ErrorWriter{Logger: slog.New(slog.DiscardHandler)}
	type known struct{}
	for name, around := range map[string]func(http.Handler) http.Handler{
		"request id": ew.RequestID,
		"authentication": ew.Authenticate(func(r *http.Request, _ string) (context.Context, error) {
			return context.WithValue(r.Context(), known{}, true), nil
		}),
		"timeout": ew.Timeout(middleware.Timeout{Total: time.Minute}),
		"body":    ew.RequireJSON(middleware.JSONRules{}),
	} {
		t.Run(name, func(t *testing.T) {
			for path, want := range map[string]string{"/runs/1": "POST /runs/{id}", "/panics/1": "POST /panics/{id}"} {
				mux := http.NewServeMux()
				mux.HandleFunc("POST /runs/{id}", func(http.ResponseWriter, *http.Request) {})
				mux.HandleFunc("POST /panics/{id}", func(http.ResponseWriter, *http.Request) { panic("boom") })
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer key")
				func() {
					defer func() { _ = recover() }()
					around(mux).ServeHTTP(httptest.NewRecorder(), r)
				}()
				require.Equal(t, want, r.Pattern)
			}
		})
	}
}

// net/http removes the files of a form from the request that it made, so it has to find them there.
func TestWrapLeavesNoTemporaryFiles(t *testing.T) {
	ew := &middleware.ErrorWriter{Logger: slog.New(slog.DiscardHandler)}
	for _, panics := range []bool{false, true} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("file", "speech.wav")
		require.NoError(t, err)
		_, err = part.Write(make([]byte, 1<<16))
		require.NoError(t, err)
		require.NoError(t, form.Close())
		seen := 0
		srv := httptest.NewServer(ew.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(0); err != nil { // no file stays in memory
				t.Error(err)
			}
			files, _ := os.ReadDir(dir)
			seen = len(files)
			if panics {
				panic("boom")
			}
		})))
		resp, err := srv.Client().Post(srv.URL, form.FormDataContentType(), &body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		srv.Close()
		require.Equal(t, 1, seen)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

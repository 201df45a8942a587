package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"handprint/schemas"
)

// odd is a server that gives one answer to everything, and its client, which
// asks twice and gives up.
func odd(t *testing.T, answer http.HandlerFunc) (f *front, ctx context.Context) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	f = newFront(t, server.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	f.onWait = func(n int64) {
		if n == 2 {
			cancel()
		}
	}
	return f, ctx
}

// What is not the registry's own word is no answer: a start waits, no schema is
// believed, and no record becomes a dead letter for it.
func TestRegistryAnswersThatAreNoneAreWaitedFor(t *testing.T) {
	text := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		find   string // part of what keeps a schema from being known
		format string // part of what keeps a start waiting
	}{
		{"a page", text(200, "text/html", "<html>Welcome</html>"), "what answers is no schema registry", "what answers is no schema registry"},
		{"a page that says no", text(404, "text/html", "<html>\nNot\nFound</html>"), "answers with status 404: <html> Not Found</html>", "answers with status 404"},
		{"nothing", text(200, "application/json", ""), "what answers is no schema registry", "what answers is no schema registry"},
		{"an empty object", text(200, "application/json", "{}"), "answers without a schema", "gave the id 0"},
		{"an error that is a success", text(200, "application/json", `{"error_code":50001,"message":"backend"}`), "answers without a schema", "gave the id 0"},
		{"another type", text(200, "application/json", `[1,2]`), "what answers is no schema registry", "what answers is no schema registry"},
		{"a negative id", text(200, "application/json", `{"id":-1}`), "answers without a schema", "gave the id -1"},
		{"an id that no record can carry", text(200, "application/json", `{"id":4294967296}`), "answers without a schema", "gave the id 4294967296"},
		{"an id of text", text(200, "application/json", `{"id":"7","schema":7}`), "what answers is no schema registry", "what answers is no schema registry"},
		{"the id of another schema", text(200, "application/json", `{"id":7,"schema":"\"string\""}`), "", "by which it has another schema"},
		{"a redirect in a circle", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, "redirects again and again", "redirects again and again"},
		{"a redirect that loses what was asked", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusMovedPermanently)
				return
			}
			fmt.Fprint(w, `{}`)
		}, "answers without a schema", "redirects to https://elsewhere.example: configure that address"},
		{"a body without end", func(w http.ResponseWriter, _ *http.Request) {
			line := strings.Repeat(" ", 1<<20)
			for range 6 {
				if _, err := fmt.Fprint(w, line); err != nil {
					return
				}
			}
		}, "more than", "more than"},
		{"an internal error", text(500, "application/json", `{"error_code":50001,"message":"backend\u001b[31m"}`), "answers with status 500: backend", "answers with status 500: backend"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			record := schemas.AppendHeader(nil, 7)
			f, ctx := odd(t, tt.answer)
			if err := f.Await(ctx, record); tt.find == "" && err != nil || tt.find != "" && (err == nil || !strings.Contains(err.Error(), tt.find)) {
				t.Errorf("a record's schema: %v, want %q", err, tt.find)
			}
			if _, known := f.Writers().Known(record); known != (tt.find == "") {
				t.Errorf("the schema is known: %v", known)
			}
			if reasons, err := f.Check(t.Context(), "s", schemas.StateRowContract); tt.find != "" && (err == nil || len(reasons) > 0) {
				t.Errorf("a check: %q, %v", reasons, err)
			}
			f, ctx = odd(t, tt.answer)
			_, err := f.Format(ctx, map[schemas.Contract]string{schemas.StateRowContract: "s"}, true)
			if isRefused(err) || err == nil || !strings.Contains(err.Error(), tt.format) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("a start: %q, want %q", err, tt.format)
			}
			if f.waits.Load() != 2 {
				t.Errorf("a start waited %d times", f.waits.Load())
			}
		})
	}
}

// A registry that lets us write and not read cannot be asked what it has by an
// id. That is no reason to stop.
func TestRegistryThatMayNotBeReadIsWrittenTo(t *testing.T) {
	f, ctx := odd(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"id":7}`)
	})
	format, err := f.Format(ctx, map[schemas.Contract]string{schemas.StateRowContract: "s"}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := row("I")
	if got, err := f.Writers().StateRow(format.AppendStateRow(nil, &want)); err != nil || got.Identity != "I" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A registry that stores schemas in its own way still has ours.
func TestRegistryThatFormatsSchemas(t *testing.T) {
	text := strings.Join(strings.Fields(schemas.StateRowContract.Schema()), " ")
	f, ctx := odd(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"id":7,"schema":%q}`, text) })
	if _, err := f.Register(ctx, "s", schemas.StateRowContract); err != nil {
		t.Error(err)
	}
	if _, err := f.Register(ctx, "s", schemas.TransitionContract); err == nil || errors.As(err, new(*RefusedError)) {
		t.Errorf("the schema of another contract: %v", err)
	}
}

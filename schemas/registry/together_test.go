package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"handprint/schemas"
)

// Two processes that start at once register the same schemas. Apicurio tells
// the second that the subject exists, with the status of an incompatible
// schema.
func TestAnotherProcessRegistersAtTheSameMoment(t *testing.T) {
	for name, there := range map[string]bool{"the same schema": true, "an incompatible one": false} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case strings.HasSuffix(r.URL.Path, "/versions") && r.Method == http.MethodPost:
					w.WriteHeader(http.StatusConflict)
					fmt.Fprint(w, `{"error_code":409,"message":"an artifact with this id already exists"}`)
				case r.Method == http.MethodPost && there:
					fmt.Fprintf(w, `{"subject":"rows-value","version":1,"id":7,"schema":%q}`, schemas.StateRowContract.Schema())
				default:
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, `{"error_code":40403,"message":"not found"}`)
				}
			}))
			defer server.Close()
			c, err := New(Config{URLs: []string{server.URL}})
			if err != nil {
				t.Fatal(err)
			}
			f, err := c.Format(t.Context(), map[schemas.Contract]string{schemas.StateRowContract: "rows-value"}, true)
			if there != (err == nil) {
				t.Fatalf("Format: %v, %v", f, err)
			}
			if !there && !strings.Contains(err.Error(), "already exists") {
				t.Errorf("the refusal is not the registry's word: %v", err)
			}
		})
	}
}

package query

import (
	"context"
	"errors"
	"testing"

	"handprint/serve/catalog"
)

// A search whose request has ended has no answer, rather than a part of one.
func TestASearchForAlikeEndsWithItsRequest(t *testing.T) {
	c := catalog.New()
	c.Apply(func(w *catalog.Writer) { w.PutRow([]byte("i"), []byte("motor.x"), &catalog.Row{Value: []byte("1")}) })
	r := New(Config{Source: &fixed{catalog: c}})
	if list, err := r.Similar(t.Context(), "i", 10); err != nil || !list.Complete {
		t.Errorf("%+v, %v", list, err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := r.Similar(gone, "i", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

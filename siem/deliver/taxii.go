package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"handprint/siem"
)

// TAXII is a collection of a TAXII 2.1 server. Each batch is an envelope of all
// the objects that its events are made of; ids and versions are functions of the
// events, so a server that has an object already knows it.
type TAXII struct {
	client *webClient
	url    string // of the collection, without a slash at its end
	status time.Duration
}

const taxiiType = "application/taxii+json;version=2.1"

func newTAXII(url string, client *webClient) *TAXII {
	return &TAXII{client: client, url: strings.TrimRight(url, "/"), status: time.Second}
}

// Prepare implements Receiver.
func (t *TAXII) Prepare(it *Item) {
	b := siem.NewBundle()
	b.Add(it.Event)
	it.Body = b.Append(nil)
}

// taxiiStatus is what is read of a status resource.
type taxiiStatus struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Failures []struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	} `json:"failures"`
}

// Deliver implements Receiver.
func (t *TAXII) Deliver(ctx context.Context, items []*Item) error {
	b := siem.NewBundle()
	for _, it := range items {
		b.Add(it.Event)
	}
	body := []byte(`{"objects":[`)
	err := b.Objects(func(_, _ string, text []byte) error {
		if body[len(body)-1] != '[' {
			body = append(body, ',')
		}
		body = append(body, text...)
		return nil
	})
	if err != nil {
		return err
	}
	accept := http.Header{"Accept": {taxiiType}}
	a, err := t.client.post(ctx, t.url+"/objects/", taxiiType, append(body, `]}`...), accept)
	if err != nil {
		return err
	}
	if err := a.problem(); err != nil {
		return err
	}
	var got taxiiStatus
	if err := json.Unmarshal(a.body, &got); err != nil {
		return fmt.Errorf("%w: %s", errNoJSON, oneLine(a.body))
	}
	if got, err = t.complete(ctx, got, accept); err != nil {
		return err
	}
	if len(got.Failures) == 0 {
		judge(items, Done, "")
		return nil
	}
	return t.blame(items, &got)
}

// complete asks until the server has worked an envelope off. The status is a
// resource of the API root, two levels above the collection.
func (t *TAXII) complete(ctx context.Context, got taxiiStatus, accept http.Header) (taxiiStatus, error) {
	root := t.url
	for range 2 {
		root = root[:max(strings.LastIndexByte(root, '/'), 0)]
	}
	for got.Status == "pending" {
		if !(wallClock{}).Sleep(ctx, t.status) {
			return got, fmt.Errorf("the server has not worked an envelope off in time: %w", ctx.Err())
		}
		a, err := t.client.do(ctx, http.MethodGet, root+"/status/"+got.ID+"/", "", nil, accept)
		if err == nil {
			err = a.problem()
		}
		if err != nil {
			return got, err
		}
		if err := json.Unmarshal(a.body, &got); err != nil {
			return got, fmt.Errorf("%w: %s", errNoJSON, oneLine(a.body))
		}
	}
	if got.Status != "complete" {
		return got, fmt.Errorf("%w: the status is %s", errNoJSON, oneLine([]byte(got.Status)))
	}
	return got, nil
}

// blame finds the events whose objects the server did not take. An object that it
// has already is none: servers differ in whether that is a failure.
func (t *TAXII) blame(items []*Item, got *taxiiStatus) error {
	failed := map[string]string{}
	for _, f := range got.Failures {
		if !strings.Contains(strings.ToLower(f.Message), "already") {
			failed[f.ID] = oneLine([]byte(f.Message))
		}
	}
	for _, it := range items {
		it.Verdict = Verdict{Done, ""}
		b := siem.NewBundle()
		b.Add(it.Event)
		err := b.Objects(func(id, _ string, _ []byte) error {
			if why, ok := failed[id]; ok {
				it.Verdict = Verdict{Never, id + ": " + why}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements Receiver.
func (t *TAXII) Close(context.Context) error { t.client.close(); return nil }

package deliver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"handprint/siem"
)

// Headers of a webhook's request.
const (
	HeaderTimestamp = "X-Handprint-Timestamp" // Unix seconds of the request
	HeaderSignature = "X-Handprint-Signature" // v1= and the HMAC
	HeaderDelivery  = "X-Handprint-Delivery"  // id of the first event; a repeat has the same
)

// Webhook is a URL that gets batches of lines, signed if there is a secret.
type Webhook struct {
	client      *webClient
	url         string
	secret      []byte
	contentType string
	formatter   *siem.Formatter
	now         func() time.Time
}

func newWebhook(url string, secret []byte, contentType string, f *siem.Formatter, client *webClient) *Webhook {
	return &Webhook{client: client, url: url, secret: secret, contentType: contentType, formatter: f, now: time.Now}
}

// Sign returns the signature of a body that is sent at a time: the hex digits of
// HMAC-SHA-256 over the timestamp's decimal, a full stop, and the body. The
// receiver works out the same, compares in constant time, and refuses old ones.
func Sign(secret []byte, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(append(strconv.AppendInt(nil, timestamp, 10), '.'))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Prepare implements Receiver.
func (w *Webhook) Prepare(it *Item) {
	it.Body = append(w.formatter.Append(it.Body[:0], it.Event), '\n')
}

// Deliver implements Receiver.
func (w *Webhook) Deliver(ctx context.Context, items []*Item) error {
	var body []byte
	for _, it := range items {
		body = append(body, it.Body...)
	}
	at := w.now().Unix()
	h := http.Header{HeaderTimestamp: {strconv.FormatInt(at, 10)}, HeaderDelivery: {items[0].Event.ID}}
	if len(w.secret) > 0 {
		h.Set(HeaderSignature, Sign(w.secret, at, body))
	}
	a, err := w.client.post(ctx, w.url, w.contentType, body, h)
	if err != nil {
		return err
	}
	if a.status == http.StatusConflict {
		judge(items, Had, "")
		return nil
	}
	if err := a.problem(); err != nil {
		return err
	}
	judge(items, Done, "")
	return nil
}

// Close implements Receiver.
func (w *Webhook) Close(context.Context) error { w.client.close(); return nil }

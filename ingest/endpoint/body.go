package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/klauspost/compress/gzip"
)

// failure is an answer that is no success.
type failure struct {
	code  int
	text  string
	retry int // seconds after which the same may be sent again; 0: never
}

// body reads the lines of a request: those of NDJSON, or the elements of a JSON
// array.
func body(r *http.Request, max int64) ([][]byte, *failure) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-ndjson" && kind != "application/json" {
		return nil, &failure{code: http.StatusUnsupportedMediaType, text: "the content type must be application/x-ndjson or application/json"}
	}
	text, f := unpacked(r, max)
	if f != nil {
		return nil, f
	}
	if kind == "application/json" {
		return elements(text)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")), nil
}

// unpacked reads the whole of a body, at most max bytes of it, also unpacked.
func unpacked(r *http.Request, max int64) ([]byte, *failure) {
	from := io.Reader(r.Body)
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, &failure{code: http.StatusBadRequest, text: "the body is no gzip"}
		}
		defer z.Close()
		from = z
	default:
		return nil, &failure{code: http.StatusUnsupportedMediaType, text: "the content encoding must be gzip or none"}
	}
	text, err := io.ReadAll(io.LimitReader(from, max+1))
	var tooLarge *http.MaxBytesError
	switch {
	case int64(len(text)) > max || errors.As(err, &tooLarge):
		return nil, &failure{code: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body has more than %d bytes unpacked", max)}
	case err != nil:
		return nil, &failure{code: http.StatusBadRequest, text: "the body could not be read to its end"}
	}
	return text, nil
}

// elements returns the elements of a JSON array, or a single object.
func elements(text []byte) ([][]byte, *failure) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, nil
	}
	if text[0] != '[' {
		// Some senders say this of NDJSON.
		return bytes.Split(text, []byte("\n")), nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, &failure{code: http.StatusBadRequest, text: "the body is no JSON array"}
	}
	lines := make([][]byte, len(list))
	for i, e := range list {
		lines[i] = e
	}
	return lines, nil
}

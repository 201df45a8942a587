package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"handprint/ingest/internal/jsonscan"
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
	return linesOf(bytes.TrimSuffix(text, []byte("\n")))
}

// maxLines bounds the lines of a request: rows are longer than what would let
// more of them into a body, and a line costs more than its bytes.
const maxLines = 100_000

var tooMany = &failure{code: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body has more than %d lines", maxLines)}

// linesOf returns the lines of a text.
func linesOf(text []byte) ([][]byte, *failure) {
	if bytes.Count(text, []byte("\n")) >= maxLines {
		return nil, tooMany
	}
	return bytes.Split(text, []byte("\n")), nil
}

// unpacked reads the whole of a body, at most max bytes of it, also unpacked.
func unpacked(r *http.Request, max int64) ([]byte, *failure) {
	from := io.Reader(r.Body)
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
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
		return linesOf(text)
	}
	var lines [][]byte
	n := 0
	err := jsonscan.Array(text, func(element []byte) {
		if n++; n <= maxLines {
			lines = append(lines, element)
		}
	})
	switch {
	case err != nil:
		return nil, &failure{code: http.StatusBadRequest, text: "the body is no JSON array"}
	case n > maxLines:
		return nil, tooMany
	}
	return lines, nil
}

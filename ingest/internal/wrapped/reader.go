package wrapped

import (
	"bytes"

	"handprint/ingest/internal/jsonscan"
)

// Event takes one object and reports whether it is an event of the sensor's;
// it is the caller's again when Event returns. around is what the objects
// around it say.
type Event func(object []byte, around Around) (is bool)

// Around is what the objects around an event say that may be missing in it.
type Around struct {
	Depth int    // of objects around it
	Stamp []byte // the innermost "@timestamp" as it stands, nil if there is none
	Type  []byte // the innermost "type" as it stands, nil if there is none
}

// Result says what a line was. Of a line that is no part, holds no events and
// nothing bad, nothing could be made.
type Result struct {
	// Part: it is a part of an event that goes on in another line, or of the
	// array around them.
	Part   bool
	Events int  // taken, among them one that ended in it
	Bad    bool // it also holds an object that is no event
}

// Torn takes a line that turned out to be a part of nothing: its text, and how
// many lines ago it was read. part says that its result was Part; else it had
// events too. The slice is the Reader's again when it returns.
type Torn func(line []byte, ago int, part bool)

// maxLines bounds the lines of one event.
const maxLines = 10_000

// Reader finds events in the lines of one input. It is for one goroutine.
type Reader struct {
	event Event
	torn  Torn
	plain func(text []byte) bool // nil: what is no JSON is nothing
	max   int

	held  []byte // of an object that is not whole
	ends  []int  // where each of its lines ends in it
	open  scanner
	also  bool   // the first of its lines had events too
	piece []byte // of a text that a container's log has cut
	cut   int    // lines that it came in

	objects [][]byte
	taken   int  // events taken in the current line
	bad     bool // an object in it is none
	part    bool // something of it is held
	goesOn  bool // it goes on with the piece that was held
	alone   bool // it is one object, which may be such a piece
}

// NewReader returns a reader that holds at most max bytes of an event that is
// not whole.
func NewReader(max int, event Event, torn Torn) *Reader {
	return &Reader{event: event, torn: torn, max: max}
}

// Texts makes the reader give texts that hold no JSON, as they stand in a
// member where an event could, to take: lines of a log that has another form.
// take reports whether it is one.
func (r *Reader) Texts(take func(text []byte) bool) { r.plain = take }

// Waiting reports whether the next line may be the rest of an event.
func (r *Reader) Waiting() bool { return len(r.ends) > 0 || r.cut > 0 }

// Flush gives up what is not whole: its lines are torn.
func (r *Reader) Flush() { r.tear(0) }

// tear tells the lines that are held; newer lines were read since.
func (r *Reader) tear(newer int) {
	for i, end := range r.ends {
		start := 0
		if i > 0 {
			start = r.ends[i-1]
		}
		r.torn(r.held[start:end], len(r.ends)-1-i+newer, i > 0 || !r.also)
	}
	r.held, r.ends, r.open = r.held[:0], r.ends[:0], scanner{}
	for i := range r.cut {
		text := r.piece
		if i > 0 {
			text = nil // they are told apart by their number only
		}
		r.torn(text, r.cut-1-i+newer, true)
	}
	r.piece, r.cut = r.piece[:0], 0
}

var mark = []byte{0xef, 0xbb, 0xbf} // of byte order

// Line takes a line that is not one event by itself.
func (r *Reader) Line(line []byte) Result {
	r.taken, r.bad, r.part, r.goesOn, r.alone = 0, false, false, false, false
	line = bytes.TrimPrefix(line, mark)
	if len(r.ends) > 0 {
		// A line that begins like an event of its own ends one that was torn.
		if line = bytes.TrimRight(line, "\r"); len(line) == 0 || line[0] != '{' {
			return r.goOn(line)
		}
		r.tear(1)
	}
	if rest, more, ok := container(line); ok {
		return r.container(rest, more)
	}
	if r.cut > 0 && (len(line) == 0 || line[0] != '{') {
		r.tear(1)
	}
	rest := afterHeader(line)
	f := scan(rest, r.objects)
	r.objects = f.objects
	if f.other {
		if r.bad = !r.document(line); r.taken > 0 {
			return r.result()
		}
	}
	switch {
	case f.other, f.open >= 0 && (f.scan.quoted || len(rest)-f.open > r.max || len(rest) != len(line)):
		return Result{}
	case f.open < 0 && len(f.objects) == 0:
		bracket := string(bytes.TrimSpace(line))
		return Result{Part: bracket == "[" || bracket == "]" || bracket == "," || bracket == "],"}
	}
	if f.open >= 0 && r.cut > 0 {
		r.tear(1)
	}
	waited := r.cut > 0
	r.alone = len(f.objects) == 1 && f.open < 0
	r.all(f.objects)
	if waited && !r.goesOn {
		r.tear(1)
	}
	if f.open >= 0 {
		r.part = true
		r.held = append(append(r.held[:0], rest[f.open:]...), '\n')
		r.ends, r.open, r.also = append(r.ends[:0], len(r.held)), f.scan, r.taken > 0
	}
	return r.result()
}

// document takes a line that is an array with other things than objects in it,
// or a text that holds an event, and reports whether it held one. Text may
// stand before it.
func (r *Reader) document(line []byte) bool {
	line = bytes.Trim(line, blanks)
	if len(line) == 0 || len(line) > r.max {
		return false
	}
	if line[0] != '[' && line[0] != '"' {
		// A text in quotes that holds the object, behind a name and an equals sign.
		start := bytes.Index(line, []byte(`"{`))
		end := bytes.LastIndexByte(line, '"')
		if start < 0 || start > maxHeader || end <= start {
			return false
		}
		line = line[start : end+1]
	}
	return jsonscan.Valid(line) && r.value(line, Around{Depth: 1})
}

func (r *Reader) all(objects [][]byte) {
	for _, o := range objects {
		switch {
		case r.Object(o, Around{}):
		case isAction(o):
			r.part = true
		case len(objects) > 1 && isEmpty(o):
		default:
			r.bad = true
		}
	}
}

// isEmpty reports whether an object has no members.
func isEmpty(object []byte) bool {
	return len(bytes.Trim(object[1:len(object)-1], blanks)) == 0
}

func (r *Reader) result() Result {
	return Result{Part: r.part && r.taken == 0, Events: r.taken, Bad: r.bad && r.taken > 0}
}

// goOn takes a line inside of an object that is open.
func (r *Reader) goOn(line []byte) Result {
	n := r.open.close(line)
	if n < 0 {
		if r.open.quoted || len(r.held)+len(line) >= r.max || len(r.ends) >= maxLines {
			r.tear(1)
			return Result{}
		}
		r.held = append(append(r.held, line...), '\n')
		r.ends = append(r.ends, len(r.held))
		return Result{Part: true}
	}
	rest := scan(line[n:], r.objects)
	r.objects = rest.objects
	if rest.other || len(r.held)+n > r.max {
		r.tear(1)
		return Result{}
	}
	r.held = append(r.held, line[:n]...)
	whole := r.held
	lines := len(r.ends)
	r.held, r.ends, r.open = nil, r.ends[:0], scanner{}
	ok := r.Object(whole, Around{})
	if !ok {
		// None of its lines is anything; the caller tells this one.
		for ago := lines; ago > 0; ago-- {
			r.torn(whole, ago, ago < lines || !r.also)
			whole = nil
		}
	}
	r.bad = !ok
	r.all(rest.objects)
	if rest.open >= 0 && !rest.scan.quoted {
		r.held = append(append(r.held[:0], line[n+rest.open:]...), '\n')
		r.ends, r.open, r.also = append(r.ends[:0], len(r.held)), rest.scan, r.taken > 0
		r.part = true
	}
	return r.result()
}

// container takes the text of a line of a container's log; more says that it
// goes on in the next line.
func (r *Reader) container(text []byte, more bool) Result {
	if more {
		if len(r.piece)+len(text) > r.max || r.cut >= maxLines {
			r.tear(1)
			return Result{}
		}
		r.piece = append(r.piece, text...)
		r.cut++
		return Result{Part: true}
	}
	if r.cut > 0 {
		r.piece = append(r.piece, text...)
		text, r.piece = r.piece, nil
		lines := r.cut
		r.cut = 0
		if !r.text(text, Around{}) {
			for ago := lines; ago > 0; ago-- {
				r.torn(text, ago, true)
				text = nil
			}
		}
		return r.result()
	}
	if !r.text(text, Around{}) {
		r.line(text)
	}
	return r.result()
}

// text takes the events in a text and reports whether it holds nothing but
// events.
func (r *Reader) text(text []byte, around Around) bool {
	f := scan(afterHeader(text), nil)
	if f.other || f.open >= 0 || len(f.objects) == 0 {
		return false
	}
	for _, o := range f.objects {
		if !r.Object(o, around) {
			return false
		}
	}
	return true
}

// maxHeader bounds the text before an object in bytes.
const maxHeader = 1 << 10

// afterHeader returns what a line holds behind the header of syslog or of
// another shipper: from the first curly bracket on that begins an object, if
// the text before it does not end within a word or a text. A label such as
// Loki's {job="x"} is a part of the header.
func afterHeader(line []byte) []byte {
	start := objectStart(line)
	if start <= 0 || start > maxHeader {
		return line
	}
	header := withoutColour(line[:start])
	if len(bytes.Trim(header, blanks+"[,")) == 0 {
		return line
	}
	if end := header[len(header)-1]; isWordByte(end) || end == '_' || end == '"' || end == '\'' || end == '\\' || end == '{' {
		return line
	}
	return line[start:]
}

// objectStart returns where a line's first object begins, -1 if none does.
func objectStart(line []byte) int {
	for i, c := range line[:min(len(line), maxHeader+1)] {
		if c != '{' {
			continue
		}
		if inside := bytes.TrimLeft(line[i+1:], " \t\r\n"); len(inside) == 0 || inside[0] == '"' || inside[0] == '}' {
			return i
		}
	}
	return -1
}

// withoutColour cuts a terminal's colour off the end of a header.
func withoutColour(header []byte) []byte {
	start := bytes.LastIndexByte(header, '\x1b')
	if start < 0 || header[len(header)-1] != 'm' {
		return header
	}
	for _, c := range header[start+1 : len(header)-1] {
		if c != '[' && c != ';' && (c < '0' || c > '9') {
			return header
		}
	}
	if start == 0 {
		return header[:1]
	}
	return header[:start]
}

// container returns the text of a line as the container runtimes of
// Kubernetes write it: time, stream, P or F with tags, and text; more says
// that the text goes on in the next line.
func container(line []byte) (text []byte, more, ok bool) {
	if len(line) == 0 || line[0] < '0' || line[0] > '9' {
		return nil, false, false
	}
	_, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return nil, false, false
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || string(stream) != "stdout" && string(stream) != "stderr" {
		return nil, false, false
	}
	tags, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(tags) == 0 || len(tags) > 1 && tags[1] != ':' || tags[0] != 'P' && tags[0] != 'F' {
		return nil, false, false
	}
	return text, tags[0] == 'P', true
}

package deliver

import (
	_ "embed"
)

// mappings are those of Elasticsearch and OpenSearch for documents in ECS.
//
//go:embed template.json
var mappings string

// EventsTemplate returns the index template of the data streams of events, for
// Elasticsearch and OpenSearch: the body of PUT _index_template/handprint-events.
func EventsTemplate() []byte {
	return []byte(`{"index_patterns": ["logs-handprint.*"], "data_stream": {}, "priority": 500, "template": {"mappings": ` + mappings + "}}\n")
}

// RowsTemplate returns the index template of the rows: the body of PUT
// _index_template/handprint-state. The index remembers for an hour what was
// deleted, so that a repeat of an older row that is late by as much does not bring
// it back.
func RowsTemplate() []byte {
	return []byte(`{"index_patterns": ["handprint-state"], "priority": 500, "template": {"settings": {"index.gc_deletes": "1h"}, "mappings": ` + mappings + "}}\n")
}

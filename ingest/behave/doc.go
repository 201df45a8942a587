// Package behave passes observations through that another program has made
// already, such as BEHAVE's extractors: one observation a line, as JSON.
//
// A line is sent as it is; what the envelope asks of it is the pipeline's to
// say, which has a dead letter for each record that it cannot use. Only a
// line that is not a JSON object is a dead letter here, since it could not be
// one observation of anybody. Nothing is made up, and nothing is left out.
package behave

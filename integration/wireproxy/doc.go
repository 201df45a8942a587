// Package wireproxy stands between clients and a Kafka broker and breaks what
// they say to each other, by rules for each kind of request: it cuts the
// connection instead of passing on a request or an answer, puts an error in the
// place of an answer, delays, or sends a request twice.
//
// A proxy is for one broker. The broker has to give the proxy's address to
// clients (a listener of its own, see package cluster), so that nothing has to
// be rewritten in what it says. It does not understand TLS, nor producers that
// ask for no acknowledgement.
package wireproxy

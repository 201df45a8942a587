// Package api is the HTTP interface of the read side: routes, their OpenAPI document,
// problem details, freshness headers, waiting for what one has written oneself, and
// the few things that operators may do. What an answer says is made by package query;
// who may ask is decided by package guard.
//
// The document is made of the Go types, and committed as docs/openapi.json, which a
// test compares.
package api

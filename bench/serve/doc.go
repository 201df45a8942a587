// Command serve measures the read side: how fast it follows the changelog, how long a
// start takes until the first list, how long questions take while the engine works,
// what live clients cost, and what SQLite needs for the same lists.
//
// It makes the state of many identities once, from records that the engine itself
// has written for a few thousand of them, and keeps it in a folder: the store of an
// engine, the copy of a read side and, if asked for, a SQLite database. Each
// measurement starts an embedded broker, an engine and a read side as processes of
// their own on that state, so that each one's CPU and memory can be told apart.
//
//	go run ./bench/serve -dir DIR -build              makes the state
//	go run ./bench/serve -dir DIR                     measures all
//	go run ./bench/serve -dir DIR -only start,follow  measures some
package main

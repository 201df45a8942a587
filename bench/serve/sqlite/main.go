// Command sqlite keeps the rows of identities in a SQLite database and answers
// questions about them, for bench/serve to compare with. It reads lines:
//
//	begin            many rows come, without indexes
//	put <row>        a row as it is now: identity, primitive, state, value, confidence, two times and a count, by tabs
//	index            the rows are there: make the indexes; answered by a line
//	ask <question>   answered by a line of JSON
//
// Puts are committed a thousand at a time, or before a question. It is a module of
// its own, so that handprint does not depend on SQLite.
package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	_ "modernc.org/sqlite"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "sqlite:", err)
		os.Exit(1)
	}
}

const schema = `CREATE TABLE IF NOT EXISTS rows (
	identity TEXT, primitive INTEGER, state INTEGER, value TEXT, confidence REAL, change REAL, seen REAL, count INTEGER,
	PRIMARY KEY (identity, primitive)) WITHOUT ROWID;
	CREATE TABLE IF NOT EXISTS names (number INTEGER PRIMARY KEY, name TEXT UNIQUE)`

var indexes = []string{
	`CREATE INDEX IF NOT EXISTS by_state ON rows (state, change DESC)`,
	`CREATE INDEX IF NOT EXISTS by_change ON rows (change DESC)`,
	`CREATE INDEX IF NOT EXISTS by_value ON rows (primitive, value, state)`,
}

const put = `INSERT INTO rows VALUES (?,?,?,?,?,?,?,?)
	ON CONFLICT DO UPDATE SET state=excluded.state, value=excluded.value, confidence=excluded.confidence, change=excluded.change, seen=excluded.seen, count=excluded.count`

// questions are what may be asked; a ? is a value, or an identity, that is there.
var questions = map[string][]string{
	"newest":   {`SELECT identity, max(change) FROM (SELECT identity, change FROM rows ORDER BY change DESC LIMIT 200) GROUP BY identity ORDER BY 2 DESC LIMIT 50`},
	"state":    {`SELECT identity, change FROM rows WHERE state=4 ORDER BY change DESC LIMIT 50`, `SELECT state, count(*) FROM rows GROUP BY state`},
	"value":    {`SELECT identity, state, change FROM rows WHERE primitive=1 AND value=?value LIMIT 50`},
	"identity": {`SELECT * FROM rows WHERE identity=?identity`},
	"values":   {`SELECT value, count(*) FROM rows WHERE primitive=1 GROUP BY value ORDER BY 2 DESC LIMIT 50`},
	"counts":   {`SELECT primitive, state, count(*) FROM rows GROUP BY primitive, state`},
}

type peer struct {
	db      *sql.DB
	tx      *sql.Tx
	insert  *sql.Stmt
	pending int
	bulk    bool
	names   map[string]int64
	recent  [][2]string // identity and value of rows that are there
}

func run(file string) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range []string{"PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-262144", schema} {
		if _, err := db.Exec(s); err != nil {
			return err
		}
	}
	p := &peer{db: db, names: map[string]int64{}}
	known, err := db.Query("SELECT number, name FROM names")
	if err != nil {
		return err
	}
	for known.Next() {
		var n int64
		var name string
		if err := known.Scan(&n, &name); err != nil {
			return err
		}
		p.names[name] = n
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), "\t")
		switch verb {
		case "begin":
			p.bulk = true
		case "put":
			if err := p.put(rest); err != nil {
				return err
			}
		case "index":
			if err := p.commit(); err != nil {
				return err
			}
			for _, s := range indexes {
				if _, err := db.Exec(s); err != nil {
					return err
				}
			}
			p.bulk = false
			if err := out.Encode("done"); err != nil {
				return err
			}
		case "ask":
			rows, err := p.ask(rest)
			answer := struct {
				Error string
				Rows  int
			}{Rows: rows}
			if err != nil {
				answer.Error = err.Error()
			}
			if err := out.Encode(answer); err != nil {
				return err
			}
		}
	}
	return p.commit()
}

func (p *peer) put(line string) (err error) {
	f := strings.Split(line, "\t")
	if len(f) != 8 {
		return fmt.Errorf("a row of %d fields", len(f))
	}
	if p.tx == nil {
		if p.tx, err = p.db.Begin(); err != nil {
			return err
		}
		if p.insert, err = p.tx.Prepare(put); err != nil {
			return err
		}
	}
	number, ok := p.names[f[1]]
	if !ok {
		number = int64(len(p.names) + 1)
		p.names[f[1]] = number
		if _, err := p.tx.Exec("INSERT INTO names VALUES (?,?)", number, f[1]); err != nil {
			return err
		}
	}
	value, err := strconv.Unquote(f[3])
	if err != nil {
		return err
	}
	if _, err := p.insert.Exec(f[0], number, f[2], value, f[4], f[5], f[6], f[7]); err != nil {
		return err
	}
	if number == 1 && len(p.recent) < 10_000 {
		p.recent = append(p.recent, [2]string{f[0], value})
	}
	if p.pending++; p.pending >= 1000 && !p.bulk || p.pending >= 100_000 {
		return p.commit()
	}
	return nil
}

func (p *peer) commit() error {
	if p.tx == nil {
		return nil
	}
	err := p.tx.Commit()
	p.tx, p.pending = nil, 0
	return err
}

func (p *peer) ask(name string) (rows int, err error) {
	if err := p.commit(); err != nil {
		return 0, err
	}
	for _, q := range questions[name] {
		var args []any
		if i := strings.Index(q, "?"); i >= 0 && len(p.recent) > 0 {
			r := p.recent[rand.IntN(len(p.recent))]
			if strings.HasSuffix(q, "?identity") {
				args = append(args, r[0])
			} else {
				args = append(args, r[1])
			}
			q = strings.NewReplacer("?identity", "?", "?value", "?").Replace(q)
		}
		found, err := p.db.Query(q, args...)
		if err != nil {
			return rows, err
		}
		columns, err := found.Columns()
		if err != nil {
			return rows, err
		}
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		for found.Next() {
			rows++
			if err := found.Scan(into...); err != nil {
				return rows, err
			}
		}
		if err := found.Err(); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

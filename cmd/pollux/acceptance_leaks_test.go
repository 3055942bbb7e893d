package main_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"pollux/cluster"
)

// finder looks for secrets in whatever form they may have got somewhere.
type finder struct{ forms []secretForm }

// secretForm is one way to write a secret.
type secretForm struct {
	of, how string
	text    []byte
}

const fragment = 12 // bytes at either end of a secret that are looked for too: a text may be cut

// newFinder takes the secrets by their names; each has at least 12 bytes.
func newFinder(secrets map[string]string) *finder {
	f := &finder{}
	for of, text := range secrets {
		f.add(of, text)
		if len(text) >= 2*fragment {
			f.add("the begin of "+of, text[:fragment])
			f.add("the end of "+of, text[len(text)-fragment:])
		}
	}
	return f
}

func (f *finder) add(of, text string) {
	quoted, _ := json.Marshal(text) // a string always has a form
	forms := map[string]string{
		"plain": text, "hex": hex.EncodeToString([]byte(text)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(text))), "spaced hex": fmt.Sprintf("% x", text),
		"query": url.QueryEscape(text), "path": url.PathEscape(text), "user info": url.UserPassword("", text).String()[1:],
		"JSON": strings.Trim(string(quoted), `"`), "Go": strings.Trim(fmt.Sprintf("%q", text), `"`), "ASCII": strings.Trim(fmt.Sprintf("%+q", text), `"`),
		"numbers": strings.Trim(fmt.Sprintf("%d", []byte(text)), "[]"), "numbers of JSON": strings.ReplaceAll(strings.Trim(fmt.Sprintf("%d", []byte(text)), "[]"), " ", ","),
	}
	// In base64 a secret that is part of a longer text begins at one of three places.
	for before := range 3 {
		whole := append(make([]byte, before), text...)
		from, to := (8*before+5)/6, len(whole)*8/6 // characters that the neighbours have no part in
		forms[fmt.Sprintf("base64 after %d", before)] = base64.RawStdEncoding.EncodeToString(whole)[from:to]
		forms[fmt.Sprintf("base64url after %d", before)] = base64.RawURLEncoding.EncodeToString(whole)[from:to]
	}
	for how, form := range forms {
		f.forms = append(f.forms, secretForm{of, how, []byte(form)})
	}
}

// in says which secrets stand in a text, and how.
func (f *finder) in(text []byte) (found []string) {
	for _, form := range f.forms {
		if bytes.Contains(text, form.text) {
			found = append(found, form.of+" ("+form.how+")")
		}
	}
	slices.Sort(found)
	return found
}

// sweep is a pile of texts, by where they were found.
type sweep map[string][]byte

// leaks are the places with secrets in them.
func (f *finder) leaks(s sweep) (found []string) {
	for where, text := range s {
		for _, leak := range append(f.in([]byte(where)), f.in(text)...) {
			found = append(found, where+": "+leak)
		}
	}
	slices.Sort(found)
	return found
}

func TestFinderKnowsEveryForm(t *testing.T) {
	t.Parallel()
	const text = "Über/secret+\"one\" & 100%"
	f := newFinder(map[string]string{"it": text})
	quoted, err := json.Marshal(map[string]string{"a": text})
	if err != nil {
		t.Fatal(err)
	}
	for _, hiding := range []string{
		"a" + text + "b", text[:fragment+2], "x" + text[len(text)-fragment:], string(quoted), fmt.Sprintf("%q", text), fmt.Sprintf("%+q", text),
		hex.EncodeToString([]byte("u:" + text)), fmt.Sprintf("%X", text), fmt.Sprintf("% x", text), fmt.Sprintf("%d", []byte(text)),
		base64.StdEncoding.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte("u" + text)), base64.URLEncoding.EncodeToString([]byte("us:" + text + "x")),
		"?p=" + url.QueryEscape(text), (&url.URL{Scheme: "redis", User: url.UserPassword("u", text), Host: "h"}).String(), url.PathEscape(text),
	} {
		if len(f.leaks(sweep{"x": []byte(hiding)})) == 0 {
			t.Errorf("not found in %q", hiding)
		}
	}
	if found := f.in([]byte("[redacted] " + text[:fragment-1] + text[3:fragment+2])); len(found) > 0 {
		t.Errorf("found in nothing: %v", found)
	}
}

// files are the contents of files that match.
func files(t testing.TB, patterns ...string) sweep {
	t.Helper()
	all := sweep{}
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Errorf("%s: %d files, %v", pattern, len(names), err)
		}
		for _, name := range names {
			if all[name], err = os.ReadFile(name); err != nil {
				t.Error(err)
			}
		}
	}
	return all
}

// redisDump is all that Redis holds, each value as its commands print it, and what it says of its clients.
func redisDump(t testing.TB, client cluster.Client) sweep {
	t.Helper()
	ctx, all := t.Context(), sweep{}
	read := map[string]func(key string) []any{
		"string": func(key string) []any { return []any{"GET", key} },
		"hash":   func(key string) []any { return []any{"HGETALL", key} },
		"list":   func(key string) []any { return []any{"LRANGE", key, 0, -1} },
		"set":    func(key string) []any { return []any{"SMEMBERS", key} },
		"zset":   func(key string) []any { return []any{"ZRANGE", key, 0, -1, "WITHSCORES"} },
		"stream": func(key string) []any { return []any{"XRANGE", key, "-", "+"} },
	}
	for keys := client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); {
		key := keys.Val()
		kind, err := client.Type(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if command := read[kind]; command != nil {
			all["Redis "+kind+" "+key] = answer(t, client, command(key)...)
		} else if kind != "none" { // it lapsed
			t.Errorf("%s is a %s, which is not looked into", key, kind)
		}
	}
	for _, command := range [][]any{{"CLIENT", "LIST"}, {"SLOWLOG", "GET", 1000}, {"ACL", "LOG"}, {"INFO", "everything"}} {
		all[fmt.Sprint("Redis ", command)] = answer(t, client, command...)
	}
	return all
}

// answer is what a command of Redis returns, flat, with compressed entries of the log beside.
func answer(t testing.TB, client cluster.Client, command ...any) []byte {
	t.Helper()
	value, err := client.Do(t.Context(), command...).Result()
	if err != nil && err.Error() != "redis: nil" {
		t.Errorf("%v: %v", command, err)
	}
	var text bytes.Buffer
	flatten(&text, value)
	return text.Bytes()
}

func flatten(to *bytes.Buffer, value any) {
	switch value := value.(type) {
	case []any:
		for _, one := range value {
			flatten(to, one)
		}
	case map[any]any:
		for key, one := range value {
			flatten(to, key)
			flatten(to, one)
		}
	case string:
		fmt.Fprintln(to, value)
		if len(value) > 1 { // an entry of the journal: its version, then a block
			if body, err := s2.Decode(nil, []byte(value[1:])); err == nil {
				to.Write(body)
			}
		}
	default:
		fmt.Fprintln(to, value)
	}
}

// databaseDump is every row of every table.
func databaseDump(t testing.TB, db *sql.DB, own string) sweep {
	t.Helper()
	all := sweep{}
	for _, table := range queryAll(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = "+own) {
		name := fmt.Sprint(table[0])
		var text bytes.Buffer
		for _, row := range queryAll(t, db, "SELECT * FROM "+name) {
			fmt.Fprintln(&text, row...)
		}
		all["table "+name] = text.Bytes()
	}
	return all
}

func queryAll(t testing.TB, db *sql.DB, query string) (all [][]any) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		texts, places := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range texts {
			places[i] = &texts[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		row := make([]any, len(columns))
		for i := range texts {
			row[i] = texts[i].String
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// pages reads paths of a process' listener; every one must be answered.
func (p *process) pages(paths ...string) sweep {
	p.t.Helper()
	all := sweep{}
	for _, path := range paths {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || len(text) == 0 || response.StatusCode != http.StatusOK && path != "/readyz" {
			p.t.Errorf("%s of %s: %s, %d bytes, %v", path, p.name, response.Status, len(text), err)
		}
		_ = response.Body.Close()
		cancel()
		all[p.name+" "+path] = text
	}
	return all
}

// queueStates are asynq's states of tasks, as asynqmon's paths name them.
var queueStates = []string{"pending", "active", "scheduled", "retry", "archived", "completed"}

// queuePages is what asynqmon tells of queues, of tasks and of servers, and how many tasks that were.
func (p *process) queuePages() (all sweep, tasks int) {
	p.t.Helper()
	const api = "/asynqmon/api"
	all = p.pages("/asynqmon/", api+"/queues", api+"/queue_stats", api+"/servers", api+"/scheduler_entries", api+"/redis_info")
	var queues struct{ Queues []struct{ Queue string } }
	if err := json.Unmarshal(all[p.name+" "+api+"/queues"], &queues); err != nil || len(queues.Queues) == 0 {
		p.t.Fatalf("queues: %v", err)
	}
	for _, q := range queues.Queues {
		of := api + "/queues/" + url.PathEscape(q.Queue)
		add(all, p.pages(of, of+"/groups"))
		for _, state := range queueStates {
			list := of + "/" + state + "_tasks?size=100"
			add(all, p.pages(list))
			var found struct{ Tasks []struct{ ID string } }
			if err := json.Unmarshal(all[p.name+" "+list], &found); err != nil {
				p.t.Fatalf("%s: %v", list, err)
			}
			tasks += len(found.Tasks)
			for _, task := range found.Tasks[:min(len(found.Tasks), 20)] {
				p.task(all, of+"/tasks/"+url.PathEscape(task.ID))
			}
		}
	}
	return all, tasks
}

// task reads the page of a task, which may be gone since it was listed.
func (p *process) task(all sweep, path string) {
	response, err := http.Get("http://" + p.address + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if all[p.name+" "+path], err = io.ReadAll(response.Body); err != nil {
		p.t.Fatal(err)
	}
}

// add puts the texts of further sweeps into one.
func add(to sweep, more ...sweep) {
	for _, one := range more {
		for where, text := range one {
			to[where] = text
		}
	}
}

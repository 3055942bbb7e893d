//go:build faults

package main_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/secret"
)

// refusing is how long Redis refuses for each reason.
const refusing = 30 * time.Second

// refusal is a way in which Redis answers, but does not work.
type refusal struct {
	reply string                     // how its answers to writes begin
	begin func(s *polluxtest.Server) // makes Redis refuse
	cure  func(s *polluxtest.Server) // lets it work again
}

// refusals are out of memory, a full disk, a user without rights, and a server that became a replica.
func refusals() []refusal {
	var empty func()
	return []refusal{
		{
			reply: "OOM",
			begin: func(s *polluxtest.Server) {
				// Below what is used: at the edge some writes would still go through.
				used, _ := strconv.Atoi(s.InfoField("used_memory"))
				s.Must("CONFIG", "SET", "maxmemory", strconv.Itoa(used-1<<20))
			},
			cure: func(s *polluxtest.Server) { s.Must("CONFIG", "SET", "maxmemory", "2gb") },
		},
		{
			reply: "MISCONF",
			begin: func(s *polluxtest.Server) { empty = s.Fill() },
			cure:  func(*polluxtest.Server) { empty() },
		},
		{
			reply: "NOPERM",
			begin: func(s *polluxtest.Server) { s.Must("ACL", "SETUSER", "pollux", "resetkeys") },
			cure:  func(s *polluxtest.Server) { s.Must("ACL", "SETUSER", "pollux", "~asynq:*", "~pollux:*") },
		},
		{
			reply: "READONLY",
			begin: func(s *polluxtest.Server) { s.Must("REPLICAOF", "127.0.0.1", "1") },
			cure:  func(s *polluxtest.Server) { s.Must("REPLICAOF", "NO", "ONE") },
		},
	}
}

// TestFaultRedisRefuses has Redis refuse what it is asked, for each reason in
// turn. The processes slow down, say so once, and go on when the reason has gone.
func TestFaultRedisRefuses(t *testing.T) {
	t.Parallel()
	server := polluxtest.PackagedRedis(t, 256)
	// So that the part of the memory that the journal may take is always more than it has.
	server.Must("SETRANGE", "ballast", strconv.Itoa(100<<20), "x")
	login := redisAt(t, server)
	login.Username, login.Password = "pollux", secret.New(polluxtest.PolluxPassword)
	x := beforeTheFault(t, polluxtest.PostgreSQL(t), login, server)
	var cured time.Time
	for _, r := range refusals() {
		began := time.Now()
		r.begin(server)
		until(t, time.Minute, "Redis answers "+r.reply, func() bool {
			_, err := server.AskAs([]string{"pollux", polluxtest.PolluxPassword}, "SET", "pollux:probe", strings.Repeat("x", 8192))
			return err != nil && strings.HasPrefix(err.Error(), r.reply)
		})
		pass(t, "the processes have noticed", began.Add(5*time.Second))
		waiting := x.startWaiting()
		pass(t, "Redis has refused for long enough", began.Add(refusing))
		waiting.judge()
		r.cure(server)
		cured = time.Now()
		t.Logf("%s is over", r.reply)
		x.works(cured)
		x.checkLog(began, cured)
		x.late = append(x.late, span{began, cured.Add(2 * redisInterval * time.Second)})
		x.polledAgain(1)
	}
	x.polledAgain(3)              // a stretch without a fault, whose rates can be compared
	server.Must("DEL", "ballast") // it is none of Pollux', and its user may not read it
	x.after(cured, backAfter, 3*len(refusals()))
}

package store

import (
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// The states of a trial.
const (
	TrialArmed  = "armed"  // the next sign-in of its person to its client takes it
	TrialTaken  = "taken"  // a sign-in took it, see Grant
	TrialJudged = "judged" // it is known what the client made of it
)

// What a client did with a faulty answer.
const (
	TrialRefused = "refused" // nothing that could be seen, and the person was not let in
	TrialWentOn  = "went_on" // it went on with what it got, and the person was not let in
	TrialLetIn   = "let_in"
	TrialUnclear = "unclear" // it gave no answer, or refused what was right
)

// Trial is one deliberate fault for one person at one test client. There is at most one that is not judged.
type Trial struct {
	Client  client.ID
	User    user.ID
	Fault   client.Fault
	State   string
	Grant   string // that a sign-in made with it
	Used    bool   // the client called the userinfo endpoint with a token of that grant
	Verdict string
	Started time.Time
	Expires time.Time
}

// BeginTrial begins one in the place of any that is not judged: armed, for the person's next sign-in to the client, or taken, for what needs none.
// The caller has to Hold the person: units that delete and insert at once can be a ring. Of those begun at once the last stands.
func (t *Tx) BeginTrial(id client.ID, person user.ID, f client.Fault, state string, life time.Duration) {
	t.DropTrial(id, person)
	t.do(`insert into trials (client_id, user_id, fault, state, grant_id, used, verdict, created_at, expires_at) values ($1, $2, $3, $6, '', 0, '', $4, $5)
on conflict (client_id, user_id, fault) do update set state = $6, grant_id = '', used = 0, verdict = '', created_at = $4, expires_at = $5`,
		string(id), string(person), string(f), micros(t.now), micros(t.now.Add(life)), state)
}

// DropTrial takes back what is not judged.
func (t *Tx) DropTrial(id client.ID, person user.ID) {
	t.do("delete from trials where client_id = $1 and user_id = $2 and state <> 'judged'", string(id), string(person))
}

// TakeTrial gives the fault that is ready for a sign-in, which takes it with its grant; "" if there is none. Of two sign-ins at once one gets it.
func (t *Tx) TakeTrial(id client.ID, person user.ID, grant string) (client.Fault, error) {
	var f string
	err := t.row([]any{&f}, `update trials set state = 'taken', grant_id = $3 where client_id = $1 and user_id = $2 and state = 'armed' and expires_at > $4 returning fault`,
		string(id), string(person), grant, micros(t.now))
	if err == ErrNotFound {
		err = nil
	}
	return client.Fault(f), err
}

// UseTrial notes that the client called the userinfo endpoint with a token of a grant.
func (t *Tx) UseTrial(grant string) {
	t.do("update trials set used = 1 where grant_id = $1 and state = 'taken'", grant)
}

// JudgeTrial writes down what a client made of a fault that was taken, if nobody has yet (ErrConflict).
func (t *Tx) JudgeTrial(id client.ID, person user.ID, f client.Fault, verdict string) {
	t.must("update trials set state = 'judged', verdict = $4 where client_id = $1 and user_id = $2 and fault = $3 and state = 'taken'", string(id), string(person), string(f), verdict)
}

// TrialsOf gives a person's trials of a client, without those that nobody signed in for in time.
func (t *Tx) TrialsOf(id client.ID, person user.ID) ([]Trial, error) {
	var all []Trial
	err := t.rows(func(s scanner) error {
		one := Trial{Client: id, User: person}
		var used, started, expires int64
		err := s.Scan((*string)(&one.Fault), &one.State, &one.Grant, &used, &one.Verdict, &started, &expires)
		one.Used, one.Started, one.Expires = used != 0, instant(started), instant(expires)
		all = append(all, one)
		return err
	}, `select fault, state, grant_id, used, verdict, created_at, expires_at from trials where client_id = $1 and user_id = $2 and (state <> 'armed' or expires_at > $3) order by fault`,
		string(id), string(person), micros(t.now))
	return all, err
}

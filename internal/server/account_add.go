package server

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/user"
)

// showAdd begins to set up a factor.
func (s *Server) showAdd(w http.ResponseWriter, r *http.Request, me account.Self) {
	_, alert := toldBy(r)
	s.addPage(w, r, me, r.PathValue("kind"), alert)
}

// addPage is the page of a kind of factor. It shows what waits for its code.
func (s *Server) addPage(w http.ResponseWriter, r *http.Request, me account.Self, kind, alert string) {
	base := second{Action: "/account/add/" + kind, Alert: alert, CancelURL: "/account"}
	if alert == "alert.delayed" {
		base.AlertArgs = []any{"minutes", 15}
	}
	switch user.FactorKind(kind) {
	case user.FactorTOTP:
		s.addToken(w, r, me, base)
	case user.FactorSMS:
		s.addNumber(w, r, me, base)
	case user.FactorPasskey:
		s.addPasskey(w, r, me, base)
	default:
		s.problem(w, r, http.StatusNotFound, "not_found", "")
	}
}

func (s *Server) addToken(w http.ResponseWriter, r *http.Request, me account.Self, base second) {
	uri, err := s.Account.BeginTOTP(r.Context(), me)
	if err != nil {
		s.refused(w, r, me, err)
		return
	}
	var v login.View
	v.Flow.Pending = uri
	s.enrolment(w, r, v, enrolPage{page: s.page(w, r, me.Person.Locale), Action: base.Action, Alert: base.Alert, AlertArgs: base.AlertArgs, CancelURL: base.CancelURL,
		Replaces: s.has(r, me, user.FactorTOTP)})
}

// has reports whether the person has a factor of a kind already. A fault says no: it is for a hint alone.
func (s *Server) has(r *http.Request, me account.Self, kind user.FactorKind) bool {
	all, err := s.Account.Overview(r.Context(), me.Person)
	return err == nil && slices.ContainsFunc(all.Factors, func(f account.Factor) bool { return f.Kind == kind })
}

func (s *Server) addNumber(w http.ResponseWriter, r *http.Request, me account.Self, base second) {
	n, err := s.Account.Number(r.Context(), me)
	if errors.Is(err, notify.ErrOff) {
		base.Alert = "alert.sms_off"
	} else if err != nil {
		s.refused(w, r, me, err)
		return
	}
	base.Version = n.Version
	page := addNumberPage{page: s.page(w, r, me.Person.Locale), second: base, Number: n.Masked, Mark: n.Mark, State: n.State, Replaces: s.has(r, me, user.FactorSMS)}
	if n.Masked == "" {
		page.Phone = r.PostForm.Get("phone")
	} else {
		page.StatusURL = "/account/add/sms/state"
	}
	s.pages.render(w, http.StatusOK, "addnumber", page)
}

// numberState tells the page what became of the text message.
func (s *Server) numberState(w http.ResponseWriter, r *http.Request, me account.Self) {
	n, err := s.Account.Number(r.Context(), me)
	if err != nil {
		s.refused(w, r, me, err)
		return
	}
	if n.State == "" {
		n.State = "gone"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"state":"`+n.State+`"}`)
}

func (s *Server) addPasskey(w http.ResponseWriter, r *http.Request, me account.Self, base second) {
	options, err := s.Account.BeginPasskey(r.Context(), me)
	if err != nil {
		s.refused(w, r, me, err)
		return
	}
	s.pages.render(w, http.StatusOK, "enrolpasskey", enrolPasskeyPage{page: s.page(w, r, me.Person.Locale), second: base,
		Options: string(options), Name: r.PostForm.Get("name")})
}

// postAdd takes the answer that makes a factor the person's own.
func (s *Server) postAdd(w http.ResponseWriter, r *http.Request, me account.Self) {
	kind := r.PathValue("kind")
	var why audit.Reason
	var err error
	switch user.FactorKind(kind) {
	case user.FactorTOTP:
		why, err = s.Account.AddTOTP(r.Context(), me, r.PostForm.Get("code"))
	case user.FactorSMS:
		if !r.PostForm.Has("code") {
			s.postNumber(w, r, me)
			return
		}
		why, err = s.Account.AddNumber(r.Context(), me, r.PostForm.Get("code"))
	case user.FactorPasskey:
		why, err = s.Account.AddPasskey(r.Context(), me, []byte(r.PostForm.Get("passkey")), r.PostForm.Get("name"))
	default:
		err = account.ErrKind
	}
	switch alert := alertForFactor(user.FactorKind(kind), why, err); {
	case alert != "":
		s.addPage(w, r, me, kind, alert)
	case err != nil:
		s.refused(w, r, me, err)
	case why != "":
		seeOther(w, r, "/account/add/"+kind+"?alert=version") // what waited is gone: begin again
	default:
		seeOther(w, r, "/account?done=added")
	}
}

// alertForFactor is the sentence for an answer that can be mended on the page, or "".
func alertForFactor(kind user.FactorKind, why audit.Reason, err error) string {
	switch {
	case errors.Is(err, account.ErrTaken):
		return "alert.passkey_known"
	case errors.Is(err, user.ErrName):
		return "alert.name_bad"
	case err != nil:
		return ""
	case why == audit.Delayed:
		return "alert.delayed"
	case why != "" && kind == user.FactorPasskey:
		return "alert.passkey"
	case why == audit.WrongCode:
		return "alert.code"
	}
	return ""
}

// postNumber takes a number, has its code sent once more, or asks for another number.
func (s *Server) postNumber(w http.ResponseWriter, r *http.Request, me account.Self) {
	const page = "/account/add/sms"
	var err error
	lang := s.page(w, r, me.Person.Locale).Lang
	seen, _ := strconv.Atoi(r.PostForm.Get("version"))
	switch phone := r.PostForm.Get("phone"); {
	case r.PostForm.Get("action") == "restart":
		err = s.Account.DropNumber(r.Context(), me)
	case r.PostForm.Get("action") == "resend":
		err = s.Account.SendNumber(r.Context(), me, "", lang, seen)
	case phone == "":
		err = notify.ErrNumber
	default:
		err = s.Account.SendNumber(r.Context(), me, phone, lang, seen)
	}
	switch {
	case err == nil:
		seeOther(w, r, page)
	case errors.Is(err, account.ErrMissing): // the number that waited is gone
		seeOther(w, r, page+"?alert=version")
	case errors.Is(err, notify.ErrNumber):
		s.addPage(w, r, me, "sms", "alert.number")
	case errors.Is(err, notify.ErrCountry):
		s.addPage(w, r, me, "sms", "alert.number_country")
	case errors.Is(err, notify.ErrOff):
		s.addPage(w, r, me, "sms", "alert.sms_off")
	default:
		s.refused(w, r, me, err)
	}
}

package stepup_test

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/portvakt/portvakt/docs/stepup"
)

func ExampleGuard_Require() {
	guard := &stepup.Guard{
		Introspect:   "https://login.example.se/introspect", // introspection_endpoint of the discovery document
		ClientID:     "payroll",
		ClientSecret: os.Getenv("PAYROLL_SECRET"),
		Realm:        "payroll",
	}
	read := stepup.Need{Scope: "payroll"}
	pay := stepup.Need{Scope: "payroll", ACR: "phr", MaxAge: 5 * time.Minute}

	http.Handle("GET /salaries", guard.Require(read, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := stepup.FromContext(r.Context())
		fmt.Fprintf(w, "what %s may see\n", token.Subject)
	})))
	http.Handle("POST /salaries", guard.Require(pay, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "paid")
	})))
	log.Fatal(http.ListenAndServe("127.0.0.1:8090", nil))
}

// Package factor checks proofs: passwords and time-based codes (TOTP). It uses
// the processor and nothing else: no database, no network, and a clock only
// where a caller waits for its turn. It keeps no secret and remembers no use;
// that a proof counts once is decided by the conditional write of the caller.
//
// Passwords are argon2id (RFC 9106) in PHC strings, by default with the least
// that OWASP recommends: 19 MiB, 2 passes, 1 lane. A password is at most 1,024
// bytes of UTF-8 and is brought to one spelling (RFC 8265 §4.2); no byte of it
// is cut off. A Hasher runs a set number of hashes at once, lets 64 callers wait
// 2 seconds each, and answers ErrBusy to all others.
//
// TOTP (RFC 6238) takes the present step and one on each side, and only a step
// later than the last one used.
//
// A wrong proof is a value, never an error. Errors and printed values hold no
// password, hash or secret. Layer 1; imports no other package of Portvakt.
package factor

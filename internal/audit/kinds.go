package audit

// Kind is a dotted word of the closed list.
type Kind string

// The kinds of this version.
const (
	FlowBegun        Kind = "flow.begun"
	LoginProved      Kind = "login.proved"
	LoginSucceeded   Kind = "login.succeeded"
	LoginFailed      Kind = "login.failed"
	LoginLocked      Kind = "login.locked"
	SessionStarted   Kind = "session.started"
	SessionEnded     Kind = "session.ended"
	SessionLocked    Kind = "session.locked"
	SessionUnlocked  Kind = "session.unlocked"
	LogoutSent       Kind = "logout.sent"
	LogoutFailed     Kind = "logout.failed"
	FactorEnrolled   Kind = "factor.enrolled"
	FactorRemoved    Kind = "factor.removed"
	FactorRenamed    Kind = "factor.renamed"
	FactorStopped    Kind = "factor.stopped"
	FactorAllowed    Kind = "factor.allowed"
	PasskeyCloned    Kind = "passkey.cloned"
	RecoveryMade     Kind = "recovery.made"
	RecoveryUsed     Kind = "recovery.used"
	DeviceRemembered Kind = "device.remembered"
	DeviceForgotten  Kind = "device.forgotten"
	ChallengeMade    Kind = "challenge.made"
	LoginDisowned    Kind = "login.disowned"
	LoginCancelled   Kind = "login.cancelled"
	SMSSent          Kind = "sms.sent"
	SMSFailed        Kind = "sms.failed"
	SMSRefused       Kind = "sms.refused"
	SMSAlarm         Kind = "sms.alarm"
	MailSent         Kind = "mail.sent"
	MailFailed       Kind = "mail.failed"
	PasswordChanged  Kind = "password.changed"
	PasswordForgot   Kind = "password.forgotten"
	AuthorizeRefused Kind = "authorize.refused"
	CodeIssued       Kind = "code.issued"
	CodeReplayed     Kind = "code.replayed"
	DeviceAsked      Kind = "device_grant.requested"
	DeviceApproved   Kind = "device_grant.approved"
	DeviceRefused    Kind = "device_grant.refused"
	TokenIssued      Kind = "token.issued"
	TokenRefreshed   Kind = "token.refreshed"
	TokenReplayed    Kind = "token.replayed"
	TokenRevoked     Kind = "token.revoked"
	TokenRefused     Kind = "token.refused"
	UserCreated      Kind = "user.created"
	UserChanged      Kind = "user.changed"
	UserDisabled     Kind = "user.disabled"
	UserEnabled      Kind = "user.enabled"
	UserUnlocked     Kind = "user.unlocked"
	LinkIssued       Kind = "link.issued"
	LinkUsed         Kind = "link.used"
	GroupCreated     Kind = "group.created"
	ClientCreated    Kind = "client.created"
	ClientChanged    Kind = "client.changed"
	ClientRemoved    Kind = "client.removed"
	ClientSecretMade Kind = "client.secret_rotated"
	ClientRefused    Kind = "client.refused"
	RegTokenMade     Kind = "registration_token.created"
	RegTokenRevoked  Kind = "registration_token.revoked"
	TrialBegun       Kind = "trial.begun"
	TrialFaulted     Kind = "trial.faulted"
	TrialJudged      Kind = "trial.judged"
	PolicyChanged    Kind = "policy.changed"
	KeyCreated       Kind = "key.created"
	KeyRotated       Kind = "key.rotated"
	KeyDropped       Kind = "key.dropped"
	AuditRead        Kind = "audit.read"
	PersonalRead     Kind = "personal.read"
	DatabaseMigrated Kind = "database.migrated"
	ServiceStarted   Kind = "service.started"
	ServiceStopped   Kind = "service.stopped"
)

// sentences is the closed list, in the order of the documentation. Nothing writes to it.
var sentences = [...]struct {
	kind     Kind
	sentence string
}{
	{FlowBegun, "somebody was asked to sign in"},
	{LoginProved, "one proof was accepted; more may be needed"},
	{LoginSucceeded, "a person signed in"},
	{LoginFailed, "a proof was wrong"},
	{LoginLocked, "a sign-in was stopped for too many wrong tries"},
	{SessionStarted, "a browser got a session"},
	{SessionEnded, "a session ended before its time"},
	{SessionLocked, "a session was locked and asks for a proof before it goes on"},
	{SessionUnlocked, "a locked session goes on after a proof"},
	{LogoutSent, "an application was told that a session is over or locked"},
	{LogoutFailed, "an application could not be told for a day that a session is over or locked"},
	{FactorEnrolled, "a person got a new factor"},
	{FactorRemoved, "a factor was taken away"},
	{FactorRenamed, "a person gave a factor another name"},
	{FactorStopped, "a factor was stopped: it proves nothing until it is allowed again"},
	{FactorAllowed, "a stopped factor was allowed again"},
	{PasskeyCloned, "a passkey's count did not rise: somebody may have a copy of it"},
	{RecoveryMade, "a person got new recovery codes"},
	{RecoveryUsed, "a recovery code was used"},
	{DeviceRemembered, "a browser was remembered"},
	{DeviceForgotten, "a remembered browser was forgotten"},
	{ChallengeMade, "a person was given something to answer"},
	{LoginDisowned, "a person said that a sign-in is not theirs"},
	{LoginCancelled, "a person gave up signing in and went back to the application"},
	{SMSSent, "a text message went to the provider"},
	{SMSFailed, "a text message could not be sent"},
	{SMSRefused, "a text message was not sent, because of a limit"},
	{SMSAlarm, "few codes of the day's text messages were used: somebody may be spending the budget"},
	{MailSent, "a mail was sent"},
	{MailFailed, "a mail could not be sent"},
	{PasswordChanged, "a password was set"},
	{PasswordForgot, "somebody asked for a new password"},
	{AuthorizeRefused, "an application's request for a sign-in was refused"},
	{CodeIssued, "an application got an authorization code, and with it the claims named"},
	{CodeReplayed, "an authorization code or a device code was used again; all that came of it was revoked"},
	{DeviceAsked, "an application on a device without a browser asked for a sign-in, and got a code for a person to approve"},
	{DeviceApproved, "a person approved what a device asked for, and with it the claims named"},
	{DeviceRefused, "a person said that a device's request is not theirs, or could not approve one"},
	{TokenIssued, "an application got tokens"},
	{TokenRefreshed, "an application refreshed its tokens"},
	{TokenReplayed, "a used refresh token was used again; all that came of it was revoked"},
	{TokenRevoked, "an application gave its tokens back, or the person or an administrator ended them"},
	{TokenRefused, "an application's request for tokens was refused"},
	{UserCreated, "a person was added"},
	{UserChanged, "a person's details changed"},
	{UserDisabled, "a person may no longer sign in"},
	{UserEnabled, "a person may sign in again"},
	{UserUnlocked, "a person's counters of wrong tries were cleared"},
	{LinkIssued, "a one-time link was made"},
	{LinkUsed, "a one-time link was used"},
	{GroupCreated, "a group was added"},
	{ClientCreated, "an application was registered"},
	{ClientChanged, "an application's registration changed"},
	{ClientRemoved, "an application was removed"},
	{ClientSecretMade, "an application got a new secret"},
	{ClientRefused, "an application was refused when it wanted to register itself, or to change its registration"},
	{RegTokenMade, "a token was made with which applications can register themselves"},
	{RegTokenRevoked, "a token with which applications can register themselves was taken away"},
	{TrialBegun, "the owner of a test client asked for a deliberate fault in the next answer to it"},
	{TrialFaulted, "a test client got an answer with a deliberate fault"},
	{TrialJudged, "it is known what a test client made of a deliberate fault"},
	{PolicyChanged, "a policy changed"},
	{KeyCreated, "the keys were made, or those of an algorithm that is new"},
	{KeyRotated, "a signing key was rotated"},
	{KeyDropped, "a signing key was taken away: what it signed verifies no more"},
	{AuditRead, "somebody read the trail"},
	{PersonalRead, "somebody read personal data"},
	{DatabaseMigrated, "the database schema was brought up to date"},
	{ServiceStarted, "the service started"},
	{ServiceStopped, "the service stopped"},
}

// Sentence says in plain words what kind means, or "" for a kind that is not on the list.
func (k Kind) Sentence() string {
	for _, s := range sentences {
		if s.kind == k {
			return s.sentence
		}
	}
	return ""
}

// Kinds lists every kind.
func Kinds() []Kind {
	kinds := make([]Kind, len(sentences))
	for i, s := range sentences {
		kinds[i] = s.kind
	}
	return kinds
}

// Package migrations embeds the schema, once for each engine. A file is NNNN_name.sql, is run once and never edited
// after a release; a test in the store compares the tables and columns of the two.
package migrations

import "embed"

// Files holds postgres/*.sql and sqlite/*.sql.
//
//go:embed postgres/*.sql sqlite/*.sql
var Files embed.FS

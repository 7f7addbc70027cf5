-- name: set_password
-- Gives a login a password, as the SCRAM verifier that the server keeps. No row.
alter role {login} password {verifier};

// A page around what /apps prints for oidc-client-ts: its three parts stand where the markers are. What else board.mjs calls is single-page.md's.
//part 0
export async function signIn() {
  //part 1
}
export async function signedIn() {
  if (location.pathname === "/signed-in") {
    //part 2
    history.replaceState({}, "", "/");
    return user;
  }
  return manager.getUser();
}

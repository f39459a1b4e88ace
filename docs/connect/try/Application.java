package app;

import java.util.Map;
import java.util.TreeMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** What the configuration of spring.md is tried with. */
@SpringBootApplication
@RestController
public class Application {
    public static void main(String[] args) {
        SpringApplication.run(Application.class, args);
    }

    @GetMapping({"/", "/staff", "/admins"})
    String page(@AuthenticationPrincipal OidcUser user, Authentication who, org.springframework.security.web.csrf.CsrfToken form) {
        return user.getPreferredUsername() + " " + who.getAuthorities().stream().map(GrantedAuthority::getAuthority).sorted().toList() + " _csrf=" + form.getToken();
    }

    @GetMapping("/api/me")
    Map<String, Object> program(@AuthenticationPrincipal Jwt token) {
        return new TreeMap<>(token.getClaims());
    }
}

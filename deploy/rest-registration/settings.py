"""A Django site of one file with django-rest-registration, for the gate to stand before.

SITE_FOLDER    where its database and its mails are
ONE_TIME_USE   whether a reset link works once (1) or until it expires (0, the package's default)
HIDE_UNKNOWN   whether it says "sent" of every name (1) or "not found" of unknown ones (0, the package's default)
"""
import os
from pathlib import Path

folder = Path(os.environ["SITE_FOLDER"])


def switch(name):
    return os.environ.get(name, "0") == "1"


SECRET_KEY = "only for a site that lives as long as a test"
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "www.example.test"]
ROOT_URLCONF = "urls"
USE_TZ = True
APPEND_SLASH = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_registration",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "site.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# PBKDF2 takes a second a password in a test; this is a sample.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = folder / "mail"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
REST_REGISTRATION = {
    "REGISTER_VERIFICATION_ENABLED": False,
    "REGISTER_EMAIL_VERIFICATION_ENABLED": False,
    "RESET_PASSWORD_VERIFICATION_URL": "http://www.example.test/reset-password/",
    "RESET_PASSWORD_VERIFICATION_ONE_TIME_USE": switch("ONE_TIME_USE"),
    "RESET_PASSWORD_FAIL_WHEN_USER_NOT_FOUND": not switch("HIDE_UNKNOWN"),
    "VERIFICATION_FROM_EMAIL": "site@example.test",
}


def make_users():
    """The sample users; all passwords are Secret1234!, but umlaut's."""
    import django

    django.setup()
    from django.contrib.auth.models import User

    for name, mail, password in [
        ("jdoe", "jdoe@example.test", "Secret1234!"),
        ("umlaut", "umlaut@example.test", "Pässwörd1234!"),
        ("nomail", "", "Secret1234!"),
    ]:
        user, _ = User.objects.get_or_create(username=name, defaults={"email": mail})
        user.set_password(password)
        user.save()

"""What the sample site answers: the API, and pages that say who asks. `make/NAME` makes a user with jdoe's password and
`link/NAME?ago=SECONDS` signs a reset link as if it had been asked for then: so that a test need not wait for one to expire."""
import time

from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from rest_registration.api.views.reset_password import ResetPasswordSigner


def page(request, name=""):
    who = request.user.get_username() or "nobody"
    return HttpResponse(f"<html><body><h1>Sample</h1><p id='who'>{who}</p></body></html>")


def make(request, name):
    user, _ = User.objects.get_or_create(username=name, defaults={"email": f"{name}@example.test"})
    user.set_password("Secret1234!")
    user.save()
    return JsonResponse({"id": user.pk})


def link(request, name):
    user = User.objects.get(username=name)
    then = int(time.time()) - int(request.GET.get("ago", "0"))
    return JsonResponse({"link": ResetPasswordSigner({"user_id": user.pk, "timestamp": then}).get_url()})


urlpatterns = [
    path("accounts/", include("rest_registration.api.urls")),
    path("make/<name>", make),
    path("link/<name>", link),
    path("", page),
    path("<name>", page),
]

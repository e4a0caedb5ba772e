"""Tells the sample site where it stands: its own port and the mail server's port.

Run inside Zope (`zconsole run zope.conf place_site.py`) on a copy of the pristine site, before it starts.
Reads PLONE_PORT and MAIL_PORT.
"""

import os

import transaction
from plone.app.textfield.value import RichTextValue
from plone.registry.interfaces import IRegistry
from zope.component import getUtility
from zope.component.hooks import setSite

plone_port = int(os.environ["PLONE_PORT"])
mail_port = int(os.environ["MAIL_PORT"])

site = app.Plone  # noqa: F821 - `app` comes from zconsole
setSite(site)

# Plone reads the registry in some places and MailHost in others. Unqueued, so that a mail has left before
# the answer page says so.
registry = getUtility(IRegistry)
registry["plone.smtp_host"] = "127.0.0.1"
registry["plone.smtp_port"] = mail_port
site.MailHost.smtp_host = "127.0.0.1"
site.MailHost.smtp_port = mail_port
site.MailHost.smtp_queue = False

here = f"localhost:{plone_port}/Plone/docs"
page = site["internal-links"]
page.text = RichTextValue(
    f"<p><a href='http://{here}'>absolute</a>, <a href='//{here}'>without a scheme</a>, "
    f"<a href='/Plone/docs'>from the root</a>, and as text: http://{here}</p>",
    "text/html",
    "text/x-html-safe",
)
page.reindexObject()
transaction.commit()

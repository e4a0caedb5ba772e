"""Makes the sample site: one Plone site with users and pages for every case the gate must handle.

Run inside Zope (`zconsole run zope.conf setup_site.py`) on an empty database; `install` does this once
and keeps the outcome as the pristine copy. What depends on ports is left to place_site.py.
"""

import base64

import transaction
from plone.app.textfield.value import RichTextValue
from plone.base.interfaces.syndication import IFeedSettings, ISiteSyndicationSettings
from plone.dexterity.utils import createContentInContainer
from plone.namedfile.file import NamedBlobFile, NamedBlobImage
from plone.registry.interfaces import IRegistry
from Products.CMFPlone.factory import addPloneSite
from zope.component import getUtility
from zope.component.hooks import setSite

PASSWORD = "Secret1234!"

# user id, password, roles, e-mail, full name
USERS = [
    ("jdoe", PASSWORD, ["Member"], "jdoe@example.org", "Jane Doe"),
    ("umlaut", "Pässwörd1234!", ["Member"], "umlaut@example.org", "Ümläut Müller"),
    ("u1001", PASSWORD, ["Member"], "u1001@example.org", "Login Name"),
    ("nomail", PASSWORD, ["Member"], "", "No Mail"),
    ("badmail", PASSWORD, ["Member"], "not an address", "Bad Mail"),
    ("norole", PASSWORD, [], "norole@example.org", "No Role"),
    ("siteadmin", PASSWORD, ["Member", "Manager"], "siteadmin@example.org", "Site Admin"),
]
LOGIN_NAMES = {"u1001": "login.name"}  # every other user signs in with the user id
ROOT_USER = ("admin", "admin")  # outside the site, in Zope's root

# A 1x1 picture: enough for Plone to make its scales from.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def add_users(site):
    users = site.acl_users
    for user_id, password, roles, email, fullname in USERS:
        users._doAddUser(user_id, password, roles, [])
        member = site.portal_membership.getMemberById(user_id)
        member.setMemberProperties({"email": email, "fullname": fullname})
        users.updateLoginName(user_id, LOGIN_NAMES.get(user_id, user_id))


def html(text):
    return RichTextValue(text, "text/html", "text/x-html-safe")


def add_pages(site):
    site.title = "Intranet"
    site.text = html("<p>Welcome to the sample intranet. Start with <a href='docs'>the documents</a>.</p>")

    docs = add(site, "Folder", "docs", "Documents")
    handbook = add(docs, "Document", "handbook", "Handbook", text=html("<p>How we work here.</p>"))
    add(docs, "Document", "holidays", "Holidays", text=html("<p>Ask first.</p>"))
    uid = handbook.UID()
    add(
        docs,
        "Document",
        "linked",
        "Linked by resolveuid",
        text=html(f"<p>See <a href='resolveuid/{uid}'>the handbook</a>.</p>"),
    )
    add(docs, "File", "file.txt", "A file", file=NamedBlobFile(b"plain text\n" * 200, "text/plain", "file.txt"))
    add(docs, "Image", "picture.png", "A picture", image=NamedBlobImage(PIXEL, "image/png", "picture.png"))
    secret = add(site, "Document", "secretpage", "Secret page", public=False, text=html("<p>Members: the secret.</p>"))
    secret.manage_setLocalRoles("AuthenticatedUsers", ["Reader"])  # whoever is signed in
    secret.reindexObjectSecurity()
    add(site, "Document", "managerspage", "Managers' page", public=False, text=html("<p>For siteadmin.</p>"))
    add(site["news"], "News Item", "opening", "The gate is open", text=html("<p>News of the day.</p>"))
    # Its text is written by place_site.py, for it names the address the site stands at.
    add(site, "Document", "internal-links", "Links an author typed", text=html("<p></p>"))


def add(container, portal_type, object_id, title, public=True, **fields):
    content = createContentInContainer(container, portal_type, id=object_id, title=title, **fields)
    workflow = container.portal_workflow
    if public and workflow.getChainFor(content):
        workflow.doActionFor(content, "publish")
    content.reindexObject()
    return content


def turn_feeds_on(site, registry):
    settings = registry.forInterface(ISiteSyndicationSettings)
    settings.allowed = True
    settings.default_enabled = True
    IFeedSettings(site["news"]).enabled = True


def speak_two_languages(registry):
    registry["plone.available_languages"] = ["en", "de"]
    registry["plone.use_request_negotiation"] = True


def set_mail_sender(registry):
    registry["plone.email_from_name"] = "Site Admin"
    registry["plone.email_from_address"] = "plone@example.org"


app.acl_users._doAddUser(*ROOT_USER, ["Manager"], [])  # noqa: F821 - `app` comes from zconsole
site = addPloneSite(app, "Plone", title="Intranet")  # noqa: F821
setSite(site)
site.portal_workflow.setDefaultChain("simple_publication_workflow")
add_users(site)
add_pages(site)
registry = getUtility(IRegistry)
turn_feeds_on(site, registry)
speak_two_languages(registry)
set_mail_sender(registry)
transaction.commit()

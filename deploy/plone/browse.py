"""Walks through the sample site in Chromium, and fails when a page does not work or a request leaves the gate.

    browse.py PUBLIC_URL SCREENSHOTS_FOLDER
"""

import json
import pathlib
import sys
import tempfile

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import presence_of_element_located
from selenium.webdriver.support.ui import WebDriverWait

PUBLIC, LOOK = sys.argv[1], pathlib.Path(sys.argv[2])
PATIENCE = 60


def main():
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        walk(driver)
        count = check_requests(driver)
    finally:
        driver.quit()
    print(f"everything works; {count} requests, all of them to {PUBLIC}")


def walk(driver):
    def find(selector):
        try:
            return WebDriverWait(driver, PATIENCE).until(presence_of_element_located((By.CSS_SELECTOR, selector)))
        except TimeoutException:
            driver.save_screenshot(str(LOOK / "missing.png"))
            sys.exit(f"{driver.current_url} has no {selector}; see {LOOK}/missing.png")

    def click(selector):  # by script: Plone's toolbar may lie over what is to be clicked
        driver.execute_script("arguments[0].click()", find(selector))

    def done(what, truth=True):
        driver.save_screenshot(str(LOOK / f"{what.replace(' ', '-')}.png"))
        if not truth:
            sys.exit(f"{what}: does not work; see {LOOK}")
        print(f"{what}: {driver.current_url}")

    driver.get(f"{PUBLIC}/docs")
    done("asked to sign in", "/_gate/login" in driver.current_url)
    find("[name=username]").send_keys("siteadmin")
    find("[name=password]").send_keys("Secret1234!")
    find("[name=password]").submit()
    find("#content")
    done("signed in", driver.current_url == f"{PUBLIC}/docs")
    click("#portal-globalnav li a")
    WebDriverWait(driver, PATIENCE).until(lambda driver: driver.current_url != f"{PUBLIC}/docs")
    find("#content")
    done("navigation", driver.current_url.rstrip("/") == PUBLIC)
    find("[name=SearchableText]").send_keys("handbook")
    find("[name=SearchableText]").submit()
    done("search", find("#search-results a").get_attribute("href").startswith(f"{PUBLIC}/docs"))
    driver.get(f"{PUBLIC}/docs/handbook/edit")
    driver.switch_to.frame(find(".tox-edit-area iframe"))
    find("body#tinymce").click()
    find("body#tinymce").send_keys("Written in a browser. ")
    driver.switch_to.default_content()
    done("editor")
    click("#form-buttons-save")
    done("saved", "Written in a browser." in find("#content-core").text)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("sent from a browser\n")
        file.flush()
        driver.get(f"{PUBLIC}/docs/++add++File")
        find("input[type=file]").send_keys(file.name)
        click("#form-buttons-save")
        WebDriverWait(driver, PATIENCE).until(lambda driver: "++add++" not in driver.current_url)
        done("upload", pathlib.Path(file.name).name in driver.page_source)
    driver.get(f"{PUBLIC}/docs/folder_contents")
    find(".pat-structure tbody tr")
    done("folder contents")
    driver.get(f"{PUBLIC}/internal-links")
    find("#content-core a")
    links = [link.get_attribute("href") for link in driver.find_elements(By.CSS_SELECTOR, "#content-core a")]
    done("links an author typed", all(link.startswith(f"{PUBLIC}/") for link in links))


def check_requests(driver):
    """Each request of the browser is to the gate, and each answer a good one."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    answers = [message["params"]["response"] for message in messages if message["method"] == "Network.responseReceived"]
    elsewhere = {url for url in sent if url.startswith(("http:", "https:", "ws")) and not url.startswith(f"{PUBLIC}/")}
    failed = {f"{answer['status']} {answer['url']}" for answer in answers if answer["status"] >= 400}
    if elsewhere or failed:
        sys.exit(f"requests to elsewhere: {sorted(elsewhere)}; failed: {sorted(failed)}")
    return len(sent)


main()

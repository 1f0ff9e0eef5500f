"""An image that is not loaded stood on a page as a broken picture, and said nothing to a reader without pictures."""

import pytest

from console.text.markdown import markdown


def no_place(path: str) -> str | None:
    return f"/raw/{path}" if path == "img/dot.png" else None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![a plan](https://example.com/x.png)", ">image: a plan</span>"),
        ("![](//example.com/x.png)", ">image</span>"),
        ("![gone](img/none.png)", ">image: gone</span>"),
        ('![a "b" <c>](data:image/png;base64,AA)', ">image: a &quot;b&quot; "),
    ],
)
def test_an_image_that_is_not_loaded_is_a_word(text: str, shown: str) -> None:
    page = markdown(text, file=no_place, image=no_place)
    assert "<img" not in page
    assert shown in page


def test_an_image_of_the_artifact_stays_one() -> None:
    page = markdown("![dot](img/dot.png) and ![x](http://a.test/b.png)", file=no_place, image=no_place)
    assert 'src="/raw/img/dot.png"' in page
    assert page.count("<img") == 1
